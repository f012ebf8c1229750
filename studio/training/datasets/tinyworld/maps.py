"""Exact maps of a scene, from its geometry: boxes, segmentation, depth and edges.

Nothing is estimated from pixels; what is drawn later hides what is drawn before. Independent of
models and captions.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from .draw import contours, silhouette
from .grounds import paint_ground
from .scene import Scene, SceneObject
from .vocabulary import HORIZONS, KINDS

GROUND_LABEL = 0
OBJECT_DEPTH = (0.62, 0.92)  # near is bright, as ControlNet's depth maps have it
FINER = 4
EDGE_WIDTH = 1 / 64  # of the side
GROUND_STEP = 10  # levels between neighbours; a fade moves by less


class Box(NamedTuple):
    kind: str
    x0: float  # pixels, x1 and y1 exclusive
    y0: float
    x1: float
    y1: float


class Maps(NamedTuple):
    edges: np.ndarray  # [S, S] uint8, 255 on the border of every part of an object
    depth: np.ndarray  # [S, S] uint8, 255 is near
    segmentation: np.ndarray  # [S, S] uint8, 0 ground, else 1 + index of the kind in vocabulary.KINDS
    boxes: tuple[Box, ...]  # one an object, in the scene's order


def box(obj: SceneObject, size: int) -> Box:
    """The tight box around an object."""
    points = np.concatenate([p for polygons, _ in contours(obj, size) for p in polygons])
    x0, y0 = points.min(0)
    x1, y1 = points.max(0)
    return Box(obj.kind, float(x0), float(y0), float(x1), float(y1))


def _covered(obj: SceneObject, size: int) -> np.ndarray:
    """The pixels that an object covers by at least half, [S, S] bool; drawn larger, for OpenCV fattens outlines."""
    fine = silhouette(obj, FINER * size)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA) >= 128


def _ground_depth(scene: Scene, size: int) -> np.ndarray:
    """A wall far away, or air at infinity over a plain that comes nearer: [S, S] float."""
    horizon = HORIZONS.get(scene.ground.kind)
    if horizon is None:
        return np.full((size, size), 0.0 if scene.ground.colour is None else 0.25, np.float32)
    rows = np.arange(size, dtype=np.float32) / size
    near = np.clip((rows - horizon) / (1 - horizon), 0, 1) * 0.6 + 0.1
    return np.repeat(np.where(rows < horizon, 0.0, near)[:, None], size, 1).astype(np.float32)


def _draw_edges(edges: np.ndarray, obj: SceneObject, mask: np.ndarray) -> None:
    """An object's lines; it hides the lines behind it first."""
    size = edges.shape[0]
    edges[mask] = 0
    width = max(1, round(size * EDGE_WIDTH))
    tones: dict[str, np.ndarray] = {}
    for polygons, tone in contours(obj, size):
        # Parts of one tone flow together, so only the border of their union is a line.
        layer = np.zeros((size, size), np.uint8)
        cv2.fillPoly(layer, [np.rint(p * 16).astype(np.int32) for p in polygons], 255, cv2.LINE_8, 4)
        for other in tones.values():
            other[layer > 0] = 0
        tones[tone] = np.maximum(tones.get(tone, 0), layer)
    for layer in tones.values():
        borders, _ = cv2.findContours(layer, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(edges, borders, -1, 255, width)


def _ground_edges(scene: Scene, size: int) -> np.ndarray:
    """The lines of the ground alone, where one flat tone meets another; fades have none."""
    tone = paint_ground(scene.ground, size).astype(np.int16)
    edges = np.zeros((size, size), np.uint8)
    edges[1:] |= np.abs(np.diff(tone, axis=0)).max(2) > GROUND_STEP
    edges[:, 1:] |= np.abs(np.diff(tone, axis=1)).max(2) > GROUND_STEP
    width = max(1, round(size * EDGE_WIDTH))
    return cv2.dilate(edges * 255, np.ones((width, width), np.uint8))


def maps(scene: Scene, size: int) -> Maps:
    """The exact maps of a scene at size x size."""
    segmentation = np.full((size, size), GROUND_LABEL, np.uint8)
    depth = _ground_depth(scene, size)
    edges = _ground_edges(scene, size)
    far, near = OBJECT_DEPTH
    for obj in scene.objects:
        mask = _covered(obj, size)
        segmentation[mask] = 1 + KINDS.index(obj.kind)
        depth[mask] = far + (near - far) * obj.y  # what stands lower in the picture is nearer
        _draw_edges(edges, obj, mask)
    return Maps(
        edges, np.rint(depth * 255).astype(np.uint8), segmentation, tuple(box(obj, size) for obj in scene.objects)
    )


def label_colours() -> np.ndarray:
    """A colour for each label of the segmentation, [1 + kinds, 3] uint8: black is the ground, hues are far apart."""
    hues = [(number * 0.6180339887) % 1 for number in range(len(KINDS))]
    tones = [(1.0, 1.0), (0.55, 1.0), (1.0, 0.6)]
    colours = [colorsys.hsv_to_rgb(hue, *tones[number % 3]) for number, hue in enumerate(hues)]
    return np.rint(np.array([(0.0, 0.0, 0.0), *colours]) * 255).astype(np.uint8)


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


# Maps as the pictures [S, S, 3] that a ControlNet sees.
CONTROLS: dict[str, Callable[[Maps], np.ndarray]] = {
    "edges": lambda found: _gray(found.edges),
    "depth": lambda found: _gray(found.depth),
    "segmentation": lambda found: label_colours()[found.segmentation],
}
