"""Drawing filters that turn a flat picture into one in a style: blueprint, crayon, comic.

Functions of a picture [H, W, 3] uint8 and a random generator. Independent of scenes and models.
"""

from collections.abc import Callable

import cv2
import numpy as np

from studio.core.registry import Registry

Filter = Callable[[np.ndarray, np.random.Generator], np.ndarray]
filters: Registry[Filter] = Registry("drawing filter")

PAPER = np.array((22, 62, 140), np.float32)
INK = np.array((232, 242, 255), np.float32)


@filters.register("none")
def none(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture


@filters.register("blueprint")
def blueprint(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White outlines on blue paper, wide enough for an autoencoder of 8 x 8 pixels; what is lighter is a paler blue."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.8).astype(np.float32)
    slopes = [np.abs(cv2.Sobel(smooth, cv2.CV_32F, dx, dy)).max(2) for dx, dy in ((1, 0), (0, 1))]
    line = np.clip((np.hypot(*slopes) - 80) / 120, 0, 1)
    line = cv2.GaussianBlur(cv2.dilate(line, np.ones((2, 2), np.uint8)), (0, 0), 0.6)
    strength = np.maximum(line, 0.25 * smooth.mean(2) / 255)[..., None]
    return np.rint(PAPER + (INK - PAPER) * strength).astype(np.uint8)


@filters.register("crayon")
def crayon(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Wax strokes on cream paper: colours in slanted streaks, shaky outlines darker than what they enclose."""
    side = picture.shape[0]
    scale = side / 128
    noise = cv2.GaussianBlur(rng.standard_normal((2, side, side)).transpose(1, 2, 0), (0, 0), 4 * scale) * 8 * scale**2
    ys, xs = np.mgrid[:side, :side].astype(np.float32)
    shaky = cv2.remap(
        picture, xs + noise[..., 0].astype(np.float32), ys + noise[..., 1].astype(np.float32),
        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT,
    ).astype(np.float32)  # fmt: skip
    streak = cv2.GaussianBlur(rng.standard_normal((2 * side, 2 * side)), (0, 0), sigmaX=12 * scale, sigmaY=1.1 * scale)
    turn = cv2.getRotationMatrix2D((side, side), 40 + float(rng.uniform(-8, 8)), 1)
    streak = cv2.warpAffine(streak, turn, (2 * side, 2 * side))[
        side // 2 : side // 2 + side, side // 2 : side // 2 + side
    ]
    wax = np.clip(0.72 + 0.3 * streak / streak.std(), 0.25, 1)[..., None]
    paper = np.array((252, 246, 230), np.float32)
    slopes = [np.abs(cv2.Sobel(shaky, cv2.CV_32F, dx, dy)).max(2) for dx, dy in ((1, 0), (0, 1))]
    line = cv2.GaussianBlur(np.clip((np.hypot(*slopes) - 60) / 140, 0, 1), (0, 0), scale)[..., None]
    drawn = paper + (shaky * (1 - 0.55 * line) - paper) * np.maximum(wax, line)
    return np.rint(np.clip(drawn, 0, 255)).astype(np.uint8)


@filters.register("comic")
def comic(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bold black outlines around strong, flat colours."""
    scale = picture.shape[0] / 128
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.8 * scale).astype(np.float32)
    slopes = [np.abs(cv2.Sobel(smooth, cv2.CV_32F, dx, dy)).max(2) for dx, dy in ((1, 0), (0, 1))]
    border = (np.hypot(*slopes) > 90).astype(np.float32)
    width = 2 * round(scale) + 1
    line = cv2.GaussianBlur(cv2.dilate(border, np.ones((width, width), np.uint8)), (0, 0), 0.6 * scale)[..., None]
    gray = smooth.mean(2, keepdims=True)
    strong = np.clip(gray + 1.35 * (picture - gray), 0, 255)
    return np.rint(strong * (1 - line) + 16 * line).astype(np.uint8)
