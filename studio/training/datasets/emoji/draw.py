"""Draws a scene of the emoji world: the ground, and each glyph over it. Independent of how scenes are sampled and described."""

from __future__ import annotations

import cv2
import numpy as np

from studio.training.datasets.tinyworld.draw import SUPERSAMPLING
from studio.training.datasets.tinyworld.grounds import paint_ground
from studio.training.datasets.tinyworld.scene import Scene, SceneObject

from .glyphs import Glyphs


def box(obj: SceneObject, shape: tuple[int, ...], size: int) -> tuple[int, int, int, int]:
    """Left, top, width and height in pixels of an object whose glyph has that shape [h, w]."""
    height, width = shape[:2]
    scale = obj.extent * size / max(height, width)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    return round(obj.x * size - w / 2), round(obj.y * size - h / 2), w, h


def render_array(scene: Scene, size: int, glyphs: Glyphs) -> np.ndarray:
    """The scene as RGB, [size, size, 3] uint8."""
    ground = paint_ground(scene.ground, size * SUPERSAMPLING)
    canvas = cv2.resize(ground, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    for obj in scene.objects:
        glyph = glyphs(obj.kind)
        left, top, w, h = box(obj, glyph.shape, size)
        way = cv2.INTER_AREA if w < glyph.shape[1] else cv2.INTER_CUBIC
        small = np.clip(cv2.resize(glyph, (w, h), interpolation=way), 0, 1)
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + h, size), min(left + w, size)
        part = small[y0 - top : y1 - top, x0 - left : x1 - left]
        under = canvas[y0:y1, x0:x1]
        canvas[y0:y1, x0:x1] = under * (1 - part[..., 3:]) + part[..., :3] * 255
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
