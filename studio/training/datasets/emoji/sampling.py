"""Samples a random scene of the emoji world: which pictures, in which sizes, where, on which ground.

The grounds and the named places are Tiny World's. Independent of pixels and captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.training.datasets.tinyworld.sampling import CENTRES, LAYOUTS, sample_ground
from studio.training.datasets.tinyworld.scene import Ground, Scene, SceneObject, is_held_out, split_of
from studio.training.datasets.tinyworld.vocabulary import HORIZONS, SURFACES

from .vocabulary import HABITATS, KINDS

MARGIN = 0.02
# Longer side of an object as a fraction of the picture, by number of objects and size word.
EXTENTS: dict[int, dict[str, tuple[float, float]]] = {
    1: {"small": (0.30, 0.35), "medium": (0.47, 0.56), "large": (0.68, 0.78)},
    2: {"small": (0.29, 0.31), "medium": (0.37, 0.41), "large": (0.43, 0.46)},
    3: {"medium": (0.28, 0.31)},
}
NAMED_LARGE = (0.55, 0.60)  # a large object must leave room for its place to be seen
AT_HOME = 0.6  # share of the objects in a landscape that belong there
PLACED = 0.35  # share of the pictures of one object whose caption names its place
_SIZES = ("small", "medium", "medium", "large")
_PLACES = tuple(CENTRES)


def _one_of(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]


def kinds_of(ground: Ground) -> tuple[str, ...]:
    """The kinds that belong on a ground; all of them on a patterned one."""
    surface = SURFACES.get(ground.kind, "sky")
    return KINDS if ground.colour is not None else tuple(k for k in KINDS if HABITATS[k] in ("sky", surface))


def _default_y(kind: str, ground: Ground, extent: float) -> float:
    """Where a thing is when no place is named: in the air, on the land or in the water."""
    horizon = HORIZONS.get(ground.kind)
    if horizon is None:
        return 0.5
    if HABITATS[kind] == "sky":
        return 0.32
    return min(horizon + 0.25, 0.96) - extent / 2


def _object(
    rng: np.random.Generator, kind: str, ground: Ground, count: int, layout: str, place: str | None
) -> SceneObject:
    size = "medium" if count == 3 else _one_of(rng, _SIZES)
    low, high = EXTENTS[count][size]
    if count == 1 and size == "large" and place not in (None, "middle"):
        low, high = NAMED_LARGE
    extent = low + (high - low) * rng.random()
    x, y = CENTRES[place or "middle"]
    if layout == "row3" and place != "middle":
        x = 0.175 if place == "left" else 0.825
    if place is None or (layout in ("row", "row3") and ground.colour is None):
        y = _default_y(kind, ground, extent)
    reach = {1: 0.035, 2: 0.02, 3: 0.01}[count]
    dx, dy = rng.uniform(-reach, reach, 2).tolist()
    edge = extent / 2 + MARGIN
    x, y = (min(max(v, edge), 1 - edge) for v in (x + dx, y + dy))
    return SceneObject(kind, None, size, place, round(x, 4), round(y, 4), round(extent, 4))


def sample_scene(
    rng: np.random.Generator,
    split: str | None = None,
    objects: Sequence[float] = (0.5, 0.38, 0.12),
    counts: Sequence[int] = (1, 2, 3),
) -> Scene:
    """One random scene; with `split`, one of that split (`train` | `held_out`)."""
    while True:
        scene = _sample_any(rng, np.cumsum(objects), counts, split == "train")
        if split is None or split_of(scene) == split:
            return scene


def _sample_any(rng: np.random.Generator, edges: np.ndarray, counts: Sequence[int], only_train: bool) -> Scene:
    count = counts[min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), len(counts) - 1)]
    ground = sample_ground(rng)
    kinds: list[str] = []
    while len(kinds) < count:
        kind = _one_of(rng, kinds_of(ground) if rng.random() < AT_HOME else KINDS)
        probe = SceneObject(kind, None, "medium", None, 0.5, 0.5, 0.5)
        if kind not in kinds and not (only_train and is_held_out(probe, ground)):
            kinds.append(kind)
    layout, places = _layout(rng, count)
    placed = [_object(rng, kind, ground, count, layout, place) for kind, place in zip(kinds, places, strict=True)]
    return Scene(tuple(placed), ground, layout)


def _layout(rng: np.random.Generator, count: int) -> tuple[str, Sequence[str | None]]:
    if count == 1:
        return "one", (_one_of(rng, _PLACES) if rng.random() < PLACED else None,)
    layout = _one_of(rng, ("row", "column") if count == 2 else ("row3", "triangle", "triangle_down"))
    return layout, LAYOUTS[layout]
