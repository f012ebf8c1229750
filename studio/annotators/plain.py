"""The annotators that need no weights: OpenCV over arrays of 8-bit RGB, (height, width, 3) to the same."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from studio.core.annotators import Annotation

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

STEP = (20, 40)  # Sobel sums of a step of 5 and of 10 levels of 255, sharp or antialiased
LINE = 1 / 64  # width of a line, as a share of the shorter side
BLUR = 1 / 40  # standard deviation, likewise
TEXTURE = 1 / 2  # the size of what a shuffle keeps together, likewise
INK = 6.0  # standard deviation in pixels of what counts as the paper around a line
SEED = 0  # of the shuffle: the same picture gives the same control image


def canny(picture: Pixels, asked: Annotation) -> Pixels:
    """Lines of one pixel (Canny 1986), white on black."""
    return _grey(cv2.Canny(picture, asked.low, asked.high))


def threshold(picture: Pixels, asked: Annotation) -> Pixels:
    """Lines of even width wherever neighbouring colours differ visibly, as the maps of Tiny World have them."""
    width = 1 + max(1, round(min(picture.shape[:2]) * LINE))
    return _grey(cv2.dilate(cv2.Canny(picture, *STEP), np.ones((width, width), np.uint8)))


def invert(picture: Pixels, asked: Annotation) -> Pixels:
    return 255 - picture


def blur(picture: Pixels, asked: Annotation) -> Pixels:
    return cv2.GaussianBlur(picture, (0, 0), max(1.0, min(picture.shape[:2]) * BLUR)).astype(np.uint8)


def shuffle(picture: Pixels, asked: Annotation) -> Pixels:
    """Each pixel taken from where a smooth random field points, as ControlNet 1.1's shuffle does."""
    height, width = picture.shape[:2]
    cell = max(2, round(min(height, width) * TEXTURE))
    random = np.random.default_rng(SEED)
    x, y = (_field(random, height, width, cell) * (side - 1) for side in (width, height))
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR).astype(np.uint8)


def lineart(picture: Pixels, asked: Annotation) -> Pixels:
    """How much darker each pixel is than what is around it, white on black."""
    values = picture.astype(np.float32)
    darker = np.clip((cv2.GaussianBlur(values, (0, 0), INK) - values).min(axis=2), 0, 255)
    lines = darker[darker > 8]
    return _grey(
        (darker / max(16.0, float(np.median(lines)) if lines.size else 0.0) * 127).clip(0, 255).astype(np.uint8)
    )


PLAIN: dict[str, Callable[[Pixels, Annotation], Pixels]] = {
    "canny": canny,
    "threshold": threshold,
    "invert": invert,
    "blur": blur,
    "shuffle": shuffle,
    "lineart_plain": lineart,
}


def _grey(values: Any) -> Pixels:
    return np.repeat(values[..., None], 3, axis=2)


def _field(random: np.random.Generator, height: int, width: int, cell: int) -> Any:
    """Smooth values from 0 to 1, (height, width) float32."""
    coarse = random.uniform(size=(height // cell + 3, width // cell + 3)).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (field - field.min()) / max(float(np.ptp(field)), 1e-6)
