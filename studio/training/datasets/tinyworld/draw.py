"""Draws a scene: the ground, then each object, supersampled and reduced for clean edges.

Four drawing styles, one small function each. Independent of how scenes are sampled and described.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from .glyphs import glyph
from .grounds import paint_ground, shift
from .scene import Scene, SceneObject
from .vocabulary import RGB, THINGS, main_rgb, mix

SUPERSAMPLING = 2
WHITE: RGB = (255, 255, 255)
BLACK: RGB = (0, 0, 0)
ACCENTS: dict[str, RGB] = {
    "wood": (122, 80, 50),
    "cream": (250, 238, 212),
    "leaf": (70, 150, 76),
    "white": (252, 252, 252),
    "ink": (40, 40, 50),
    "steel": (190, 196, 206),
    "beak": (246, 160, 44),
}
# Yellow and orange mixed with black turn to mud.
WARM_SHADES: dict[str, RGB] = {"yellow": (240, 178, 38), "orange": (216, 104, 16), "white": (212, 218, 228)}


def object_tones(obj: SceneObject) -> dict[str, RGB]:
    """The colours of an object's parts: shades of its main colour, and the accents of its kind."""
    thing = THINGS.get(obj.kind)
    main = main_rgb(obj.kind, obj.colour)
    light_main = sum(main) > 420
    dark = mix(main, BLACK, 0.26) if sum(main) > 150 else mix(main, WHITE, 0.28)
    dark = WARM_SHADES.get(obj.colour or "", dark)
    light = mix(main, WHITE, 0.5) if sum(main) < 700 else mix(main, BLACK, 0.1)
    if thing is not None and obj.colour is None:
        dark, light = thing.dark or dark, thing.light or light
    tones = {
        "main": main,
        "dark": dark,
        "light": light,
        "window": (126, 180, 220) if light_main else (206, 232, 248),
        "spot": mix(main, BLACK, 0.3) if light_main else (252, 246, 236),
        "heart": (252, 208, 60) if obj.colour not in ("yellow", "orange") else (134, 84, 48),
        **ACCENTS,
    }
    return {name: shift(rgb, obj.tint) for name, rgb in tones.items()}


def contours(obj: SceneObject, side: int) -> list[tuple[list[np.ndarray], str]]:
    """The object's parts in pixels of a side x side picture: closed float polygons [N, 2] and the part's tone."""
    angle = math.radians(obj.tilt)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = turn * (obj.extent / 2 * side)
    centre = (obj.x * side, obj.y * side)
    return [([c @ matrix + centre for c in part.contours], part.tone) for part in glyph(obj.kind)]


def _fixed(polygons: list[np.ndarray]) -> list[np.ndarray]:
    """Polygons in the 1/16 pixel integers that OpenCV draws."""
    return [np.rint(p * 16).astype(np.int32) for p in polygons]


def fill(canvas: np.ndarray, obj: SceneObject, tones: dict[str, RGB]) -> None:
    """Paint an object's parts in flat tones."""
    for polygons, tone in contours(obj, canvas.shape[0]):
        cv2.fillPoly(canvas, _fixed(polygons), tones[tone], cv2.LINE_AA, 4)


def silhouette(obj: SceneObject, side: int) -> np.ndarray:
    """Coverage of the whole object, [S, S] uint8 from 0 to 255."""
    mask = np.zeros((side, side), np.uint8)
    for polygons, _ in contours(obj, side):
        cv2.fillPoly(mask, _fixed(polygons), 255, cv2.LINE_AA, 4)
    return mask


def _draw_flat(canvas: np.ndarray, obj: SceneObject) -> np.ndarray:
    fill(canvas, obj, object_tones(obj))
    return canvas


def _draw_outline(canvas: np.ndarray, obj: SceneObject) -> np.ndarray:
    tones = object_tones(obj)
    line = (28, 28, 38) if sum(tones["main"]) > 150 else (236, 236, 240)
    width = round(canvas.shape[0] * 0.062)
    for polygons, _ in contours(obj, canvas.shape[0]):
        cv2.polylines(canvas, _fixed(polygons), True, line, width, cv2.LINE_AA, 4)
    fill(canvas, obj, tones)
    return canvas


def _draw_soft(canvas: np.ndarray, obj: SceneObject) -> np.ndarray:
    side = canvas.shape[0]
    mask = silhouette(obj, side)
    drop = round(side * 0.03)
    shadow = cv2.GaussianBlur(np.roll(mask, (drop, drop), (0, 1)), (0, 0), side * 0.022)
    shade = 1 - 0.42 * (shadow.astype(np.float32) / 255)[..., None]
    painted = np.rint(canvas * shade).astype(np.uint8)
    fill(painted, obj, object_tones(obj))
    # Light falls from the upper left: a smooth ramp over the object's own box.
    axis = np.arange(side, dtype=np.float32) / side
    ramp = np.clip(((axis - obj.y)[:, None] + (axis - obj.x)[None]) / obj.extent, -1, 1)
    lit = painted + np.where(ramp < 0, -ramp * 62, -ramp * 72)[..., None]
    cover = (mask.astype(np.float32) / 255)[..., None]
    return np.rint(np.clip(painted * (1 - cover) + lit * cover, 0, 255)).astype(np.uint8)


_STYLES: dict[str, Callable[[np.ndarray, SceneObject], np.ndarray]] = {
    "flat": _draw_flat,
    "outline": _draw_outline,
    "soft": _draw_soft,
    "pixel": _draw_flat,
}


def render_array(scene: Scene, size: int) -> np.ndarray:
    """The scene as RGB, [size, size, 3] uint8."""
    target = size // 4 if scene.style == "pixel" else size
    canvas = paint_ground(scene.ground, target * SUPERSAMPLING)
    for obj in scene.objects:
        canvas = _STYLES[scene.style](canvas, obj)
    picture = cv2.resize(canvas, (target, target), interpolation=cv2.INTER_AREA)
    if target != size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST)
    return picture


def render(scene: Scene, size: int) -> Image.Image:
    """The scene as a picture of size x size."""
    return Image.fromarray(render_array(scene, size))
