"""Puts the model's picture back into the source: colours matched at the seam, every pixel outside the blend as it was."""

import numpy as np
from PIL import Image

from studio.engine.inpainting.content import filled
from studio.engine.inpainting.masks import Mask

CELL = 4  # pixels a side over which the difference of colours is averaged, so that noise and fine lines do not count


def matched(made: Image.Image, known: Image.Image, change: Mask) -> Image.Image:
    """`made` with its colours shifted so that they meet those of `known` where nothing was to change.

    The shift is the difference next to the mask, continued smoothly into it: the membrane of Poisson image editing
    (Pérez et al. 2003), of averages over small cells.
    """
    same = (change <= 0).astype(np.float32)
    if not same.any():
        return made
    after = np.asarray(made, dtype=np.float32)
    shift = (np.asarray(known, dtype=np.float32) - after) * same[..., None]
    h, w = same.shape
    high, wide = -(-h // CELL), -(-w // CELL)
    even = [(0, high * CELL - h), (0, wide * CELL - w)]
    count = np.pad(same, even).reshape(high, CELL, wide, CELL).sum((1, 3))
    sums = np.pad(shift, [*even, (0, 0)]).reshape(high, CELL, wide, CELL, 3).sum((1, 3))
    means = sums / np.maximum(count, 1)[..., None]
    smooth = filled(means, np.minimum(count / CELL, 1.0).astype(np.float32)).astype(np.float32)
    size = (wide * CELL, high * CELL)
    full = [
        np.asarray(Image.fromarray(smooth[..., c]).resize(size, Image.Resampling.BILINEAR))[:h, :w] for c in range(3)
    ]
    return Image.fromarray(np.rint(after + np.stack(full, axis=2)).clip(0, 255).astype(np.uint8))


def blended(source: np.ndarray, made: np.ndarray, blend: Mask) -> np.ndarray:
    """(h, w, 3) of uint8: `made` where `blend` is 1, exactly `source` where it is 0, mixed between."""
    mixed = source + blend[..., None] * (made.astype(np.float32) - source)
    return np.where(blend[..., None] > 0, np.rint(mixed), source).clip(0, 255).astype(np.uint8)
