"""Random masks for training an inpainting model: boxes, brush strokes, borders (outpainting), everything.

A mask is [side, side] bool, true where the model repaints. Independent of pictures.
"""

from collections.abc import Callable

import cv2
import numpy as np

from studio.core.registry import Registry

masks: Registry[Callable[[np.random.Generator, int], np.ndarray]] = Registry("kind of mask")


@masks.register("boxes")
def boxes(rng: np.random.Generator, side: int) -> np.ndarray:
    """One to three rectangles, each with sides of a fifth to seven tenths of the picture."""
    out = np.zeros((side, side), bool)
    for _ in range(rng.integers(1, 4)):
        height, width = rng.integers(side // 5, side * 7 // 10, 2)
        y, x = rng.integers(0, side - height), rng.integers(0, side - width)
        out[y : y + height, x : x + width] = True
    return out


@masks.register("strokes")
def strokes(rng: np.random.Generator, side: int) -> np.ndarray:
    """Free-form strokes of a round brush (Yu et al. 2019, section 3.3)."""
    canvas = np.zeros((side, side), np.uint8)
    for _ in range(rng.integers(1, 5)):
        width = int(rng.integers(side // 12, side // 5))
        points = np.clip(
            np.cumsum(rng.normal(0, side / 5, (rng.integers(2, 7), 2)), 0) + rng.uniform(0, side, 2), 0, side
        )
        cv2.polylines(canvas, [points.astype(np.int32)], False, 255, width)
        for x, y in points.astype(int).tolist():
            cv2.circle(canvas, (x, y), width // 2, 255, -1)
    return canvas > 0


@masks.register("border")
def border(rng: np.random.Generator, side: int) -> np.ndarray:
    """Outside of a rectangle that touches one to three of the picture's sides, or none."""
    out = np.ones((side, side), bool)
    cut = rng.integers(side // 8, side // 2, 4) * (rng.random(4) < 0.5)
    if not cut.any():
        cut[rng.integers(4)] = side // 3
    top, bottom, left, right = (int(c) for c in cut)
    out[
        min(top, side * 3 // 8) : side - min(bottom, side * 3 // 8),
        min(left, side * 3 // 8) : side - min(right, side * 3 // 8),
    ] = False
    return out


@masks.register("everything")
def everything(rng: np.random.Generator, side: int) -> np.ndarray:
    return np.ones((side, side), bool)


def around(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask around a shape [side, side] bool: its outline or its box, grown by up to a tenth of the side."""
    side = len(shape)
    grow = int(rng.integers(side // 64, side // 10))
    if rng.random() < 0.5:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        return cv2.dilate(shape.astype(np.uint8), kernel) > 0
    ys, xs = np.nonzero(shape)
    out = np.zeros_like(shape)
    out[max(0, ys.min() - grow) : ys.max() + grow + 1, max(0, xs.min() - grow) : xs.max() + grow + 1] = True
    return out
