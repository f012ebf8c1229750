"""Samples a random scene: which things, in which colours and sizes, where, on which ground.

Independent of pixels and captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .glyphs import half_extent
from .scene import Ground, Scene, SceneObject, is_held_out, split_of
from .vocabulary import (
    COLOURS,
    HORIZONS,
    MINOR_COLOURS,
    PATTERNS,
    SCENES,
    SHAPES,
    SURFACES,
    THINGS,
    stands_out,
)

MARGIN = 0.035
# Longer side of an object as a fraction of the picture, by number of objects and size word.
EXTENTS: dict[int, dict[str, tuple[float, float]]] = {
    1: {"small": (0.27, 0.31), "medium": (0.39, 0.47), "large": (0.61, 0.71)},
    2: {"small": (0.28, 0.30), "medium": (0.34, 0.37), "large": (0.41, 0.44)},
    3: {"medium": (0.255, 0.295)},
}
NAMED_LARGE = (0.50, 0.55)  # a large object must leave room for its place to be seen
CENTRES: dict[str, tuple[float, float]] = {
    "left": (0.24, 0.5),
    "right": (0.76, 0.5),
    "top": (0.5, 0.24),
    "bottom": (0.5, 0.76),
    "middle": (0.5, 0.5),
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
LAYOUTS: dict[str, tuple[str, ...]] = {
    "row": ("left", "right"),
    "column": ("top", "bottom"),
    "row3": ("left", "middle", "right"),
    "triangle": ("top", "bottom left", "bottom right"),
    "triangle_down": ("top left", "top right", "bottom"),
}
_COLOUR_NAMES = tuple(COLOURS)
_COLOUR_WEIGHTS = np.array([0.4 if c in MINOR_COLOURS else 1.0 for c in COLOURS])
_COLOUR_EDGES = np.cumsum(_COLOUR_WEIGHTS / _COLOUR_WEIGHTS.sum())
_PATTERN_EDGES = np.cumsum([0.34, 0.20, 0.18, 0.18, 0.10])
_PLACE_NAMES = tuple(CENTRES)
_PLACE_EDGES = np.cumsum([0.19, 0.19, 0.13, 0.13, 0.08, 0.07, 0.07, 0.07, 0.07])


def _pick(rng: np.random.Generator, names: Sequence[str], edges: np.ndarray | None = None) -> str:
    if edges is None:
        return names[int(rng.random() * len(names))]
    return names[min(int(np.searchsorted(edges, rng.random(), side="right")), len(names) - 1)]


def _tint(rng: np.random.Generator, reach: int) -> tuple[int, int, int]:
    r, g, b = rng.integers(-reach, reach + 1, 3).tolist()
    return (r, g, b)


def sample_ground(rng: np.random.Generator) -> Ground:
    """A patterned ground (62 %) or a landscape."""
    seed = int(rng.integers(0, 1 << 16))
    if rng.random() < 0.38:
        return Ground(_pick(rng, SCENES), seed=seed, tint=_tint(rng, 4))
    kind = _pick(rng, PATTERNS, _PATTERN_EDGES)
    colour = _pick(rng, _COLOUR_NAMES, _COLOUR_EDGES)
    vertical = kind == "striped" and rng.random() < 0.25
    return Ground(kind, colour, bool(vertical), seed, _tint(rng, 4))


def things_of(ground: Ground) -> tuple[str, ...]:
    """The things that belong in a landscape; all of them on a patterned ground."""
    if ground.colour is not None:
        return tuple(THINGS)
    here = {"sky", SURFACES.get(ground.kind, "sky")}
    return tuple(k for k, thing in THINGS.items() if thing.habitat in here and (k, ground.kind) != ("sun", "night"))


def sample_look(rng: np.random.Generator, ground: Ground) -> tuple[str, str | None]:
    """A kind and a colour (None: natural) that stand out on the ground."""
    thing_share = 0.45 if ground.colour is not None else 0.72
    while True:
        if rng.random() < thing_share:
            kind = _pick(rng, tuple(THINGS) if rng.random() < 0.08 else things_of(ground))
            colour = None if rng.random() < 0.5 else _pick(rng, _COLOUR_NAMES, _COLOUR_EDGES)
        else:
            kind, colour = _pick(rng, SHAPES), _pick(rng, _COLOUR_NAMES, _COLOUR_EDGES)
        if stands_out(kind, colour, ground.kind, ground.colour):
            return kind, colour


def _default_y(kind: str, ground: Ground, extent: float) -> float:
    """Where a thing stands by itself: birds in the air, houses on the land, boats on the water."""
    thing = THINGS.get(kind)
    horizon = HORIZONS.get(ground.kind)
    if thing is None or horizon is None:
        return 0.5
    if thing.habitat == "sky":
        return 0.29
    if thing.habitat != SURFACES[ground.kind]:
        return 0.5
    if kind == "fish":
        return (horizon + 1.02) / 2
    bottom = horizon + (0.17 if thing.habitat == "water" else 0.25)
    return bottom - half_extent(kind)[1] * extent / 2


def _inside(kind: str, extent: float, x: float, y: float) -> tuple[float, float]:
    half_x, half_y = (h * extent / 2 + MARGIN for h in half_extent(kind))
    return min(max(x, half_x), 1 - half_x), min(max(y, half_y), 1 - half_y)


def _place_object(
    rng: np.random.Generator, look: tuple[str, str | None], ground: Ground, count: int, layout: str, place: str | None
) -> SceneObject:
    kind, colour = look
    size = "medium" if count == 3 else ("small", "medium", "medium", "large")[int(rng.random() * 4)]
    low, high = EXTENTS[count][size]
    if count == 1 and size == "large" and place not in (None, "middle"):
        low, high = NAMED_LARGE
    extent = low + (high - low) * rng.random()
    x, y = CENTRES[place or "middle"]
    if layout == "row3" and place != "middle":
        x = 0.175 if place == "left" else 0.825
    if place is None or (layout in ("row", "row3") and ground.colour is None):
        y = _default_y(kind, ground, extent)
    reach = {1: 0.035, 2: 0.025, 3: 0.012}[count]
    dx, dy, turn = rng.uniform(-1, 1, 3).tolist()
    x, y = _inside(kind, extent, x + dx * reach, y + dy * reach)
    lean = 6.0 if kind in SHAPES else 3.0
    tint = _tint(rng, 6)
    return SceneObject(
        kind, colour, size, place, round(x, 4), round(y, 4), round(extent, 4), round(turn * lean, 2), tint
    )


def _belongs_above(looks: list[tuple[str, str | None]]) -> bool:
    """Whether the second of two things hangs in the air while the first stands on the ground."""
    habitats = [THINGS[kind].habitat if kind in THINGS else "" for kind, _ in looks]
    return habitats[1] == "sky" and habitats[0] in ("land", "water")


def sample_scene(
    rng: np.random.Generator,
    split: str | None = None,
    styles: Sequence[str] = ("flat",),
    objects: Sequence[float] = (0.55, 0.33, 0.12),
    counts: Sequence[int] = (1, 2, 3),
) -> Scene:
    """One random scene; with `split`, one of that split (`train` | `held_out`)."""
    while True:
        scene = _sample_any(rng, styles, np.cumsum(objects), counts, split == "train")
        if split is None or split_of(scene) == split:
            return scene


def _sample_any(
    rng: np.random.Generator, styles: Sequence[str], edges: np.ndarray, counts: Sequence[int], only_train: bool
) -> Scene:
    count = counts[min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), len(counts) - 1)]
    ground = sample_ground(rng)
    looks: list[tuple[str, str | None]] = []
    places: tuple[str | None, ...]
    while len(looks) < count:
        look = sample_look(rng, ground)
        probe = SceneObject(*look, "medium", None, 0.5, 0.5, 0.5)
        if look not in looks and not (only_train and is_held_out(probe, ground)):
            looks.append(look)
    if count == 1:
        place = _pick(rng, _PLACE_NAMES, _PLACE_EDGES) if rng.random() < 0.35 else None
        layout, places = "one", (place,)
    elif count == 2:
        layout = "row" if rng.random() < 0.5 else "column"
        places = LAYOUTS[layout]
        if layout == "column" and ground.colour is None and _belongs_above(looks):
            looks.reverse()
    else:
        layout = ("row3", "triangle", "triangle_down")[int(rng.random() * 3)]
        places = LAYOUTS[layout]
    style = styles[int(rng.random() * len(styles))] if len(styles) > 1 else styles[0]
    placed = [_place_object(rng, look, ground, count, layout, place) for look, place in zip(looks, places, strict=True)]
    return Scene(tuple(placed), ground, layout, style)
