"""What the model starts from inside the mask: the picture as it is, its surroundings drawn in, noise, or grey.

Arrays (h, w, 3) of float32 in 0..255; masks (h, w) in 0..1.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from studio.engine.inpainting.masks import Mask

GREY = 127.0
NOISE = 64.0  # standard deviation of the noise about grey


def filled(picture: np.ndarray, known: Mask) -> np.ndarray:
    """`picture` with what is not known drawn in smoothly from what is (push-pull, Gortler et al. 1996: averages over cells
    of 2, 4, 8, ... pixels, each used where no finer one knows anything)."""
    h, w = known.shape
    if not known.any():
        return np.full_like(picture, GREY)
    if known.all() or h * w == 1:
        return picture
    high, wide = -(-h // 2), -(-w // 2)
    even = [(0, 2 * high - h), (0, 2 * wide - w)]
    weight = np.pad(known, even)
    sums = np.pad(picture * known[..., None], [*even, (0, 0)])
    cells = weight.reshape(high, 2, wide, 2).sum((1, 3))
    means = sums.reshape(high, 2, wide, 2, -1).sum((1, 3)) / np.maximum(cells, 1e-6)[..., None]
    coarse = _enlarged(filled(means, np.minimum(cells, 1.0)), (w, h))
    return picture * known[..., None] + coarse * (1 - known[..., None])


def _enlarged(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinearly, channel by channel, since Pillow's float pictures have one."""
    double = (2 * picture.shape[1], 2 * picture.shape[0])
    channels = [
        Image.fromarray(picture[..., c]).resize(double, Image.Resampling.BILINEAR) for c in range(picture.shape[2])
    ]
    return np.stack([np.asarray(each) for each in channels], axis=2)[: size[1], : size[0]]


def _original(picture: np.ndarray, mask: Mask) -> np.ndarray:
    return picture


def _fill(picture: np.ndarray, mask: Mask) -> np.ndarray:
    return filled(picture, (mask <= 0).astype(np.float32))


def _noise(picture: np.ndarray, mask: Mask) -> np.ndarray:
    """The same for every seed: what differs between two pictures is the sampler's noise alone."""
    drawn = np.random.default_rng(0).normal(GREY, NOISE, picture.shape)
    return drawn.clip(0, 255).astype(np.float32)


def _neutral(picture: np.ndarray, mask: Mask) -> np.ndarray:
    return np.full_like(picture, GREY)


CONTENTS: dict[str, Callable[[np.ndarray, Mask], np.ndarray]] = {
    "original": _original,
    "fill": _fill,
    "noise": _noise,
    "neutral": _neutral,
}


def started_from(picture: Image.Image, mask: Mask, content: str) -> Image.Image:
    """`picture` with the content in place of it inside the mask, the less the greyer the mask."""
    if content == "original":
        return picture
    known = np.asarray(picture, dtype=np.float32)
    mixed = known + mask[..., None] * (CONTENTS[content](known, mask) - known)
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))
