"""Batches for an autoencoder: whole pictures, or crops taken where edges are, which carry nearly all of the loss.

Does not load torch: worker processes draw them.
"""

from dataclasses import dataclass

import numpy as np

from studio.training.config import DataConfig
from studio.training.drawing import dataset


@dataclass(frozen=True)
class CropBatches:
    """Step k's batch [n, h, w, 3] uint8: `batch` crops, or every `whole_every` steps as many pixels in whole pictures."""

    data: DataConfig
    seed: int
    batch: int
    crop: int
    crops_per_picture: int
    whole_every: int

    def __call__(self, step: int) -> np.ndarray:
        source, rng = dataset(self.data), np.random.default_rng((self.seed, step))
        whole = step % self.whole_every == 0
        per_picture = (self.data.size // self.crop) ** 2 if whole else self.crops_per_picture
        pictures = [source[step * self.batch + i].image for i in range(max(1, self.batch // per_picture))]
        if not whole:
            pictures = [part for p in pictures for part in crops(p, self.crop, self.crops_per_picture, rng)]
        return np.stack(pictures)


def crops(picture: np.ndarray, side: int, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`count` squares of [h, w, 3], their centres drawn where neighbours differ."""
    gray = picture.astype(np.float32).sum(axis=2)
    edge = np.abs(np.diff(gray, axis=0))[:, 1:] + np.abs(np.diff(gray, axis=1))[1:]
    chance = np.cumsum(np.minimum(edge, 60).ravel() + 1)
    places = np.searchsorted(chance, rng.random(count) * chance[-1])
    out = []
    for place in places:
        y, x = divmod(int(place), edge.shape[1])
        jy, jx = rng.integers(-side // 4, side // 4 + 1, 2)
        top = int(np.clip(y + jy - side // 2, 0, picture.shape[0] - side))
        left = int(np.clip(x + jx - side // 2, 0, picture.shape[1] - side))
        out.append(picture[top : top + side, left : left + side])
    return out
