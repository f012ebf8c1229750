"""Outlines of every shape and thing, as polygons in a unit box.

A glyph is a tuple of parts; a part is contours (even-odd filled) and the name of the tone it is painted in.
Coordinates run from -1 to 1, y downwards, and the glyph's longer side fills the box.
Independent of colours and pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

Points = np.ndarray  # [N, 2] float


class Part(NamedTuple):
    contours: tuple[Points, ...]
    tone: str = "main"


Glyph = tuple[Part, ...]
_BUILDERS: dict[str, Callable[[], list[Part]]] = {}


def _glyph(kind: str) -> Callable[[Callable[[], list[Part]]], Callable[[], list[Part]]]:
    def add(build: Callable[[], list[Part]]) -> Callable[[], list[Part]]:
        if kind in _BUILDERS:
            raise ValueError(f"There are two glyphs named {kind!r}.")
        _BUILDERS[kind] = build
        return build

    return add


@cache
def glyph(kind: str) -> Glyph:
    """Return the parts of `kind`, centred, longer side from -1 to 1."""
    parts = _BUILDERS[kind]()
    points = np.concatenate([c for part in parts for c in part.contours])
    low, high = points.min(0), points.max(0)
    centre, half = (low + high) / 2, (high - low).max() / 2
    return tuple(Part(tuple((c - centre) / half for c in part.contours), part.tone) for part in parts)


@cache
def half_extent(kind: str) -> tuple[float, float]:
    """Half width and half height of a glyph in its unit box."""
    points = np.concatenate([c for part in glyph(kind) for c in part.contours])
    x, y = np.abs(points).max(0)
    return float(x), float(y)


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, turn: float = 0.0, n: int = 48) -> Points:
    """An ellipse; `turn` in degrees."""
    t = np.linspace(0, 2 * math.pi, n, endpoint=False)
    points = np.stack([rx * np.cos(t), (rx if ry is None else ry) * np.sin(t)], 1)
    a = math.radians(turn)
    return points @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) + (cx, cy)


def rounded(points: list[tuple[float, float]], radius: float, n: int = 6) -> Points:
    """A polygon whose corners are cut by quadratic curves that start `radius` before the corner."""
    p = np.asarray(points, float)
    out = []
    for before, corner, after in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0), strict=True):
        ends = []
        for other in (before, after):
            way = other - corner
            length = float(np.hypot(*way))
            ends.append(corner + way / length * min(radius, length / 2))
        t = np.linspace(0, 1, n)[:, None]
        out.append((1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * corner + t**2 * ends[1])
    return np.concatenate(out)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.1) -> Points:
    """A rectangle with rounded corners."""
    return rounded([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], radius)


def arc(cx: float, cy: float, r: float, start: float, end: float, n: int = 32) -> Points:
    """Points on a circle from `start` to `end` degrees (0 is right, 90 is down)."""
    t = np.radians(np.linspace(start, end, n))
    return np.stack([cx + r * np.cos(t), cy + r * np.sin(t)], 1)


def part(tone: str, *contours: Points) -> Part:
    return Part(tuple(contours), tone)


@_glyph("circle")
def _circle() -> list[Part]:
    return [part("main", ellipse(0, 0, 1))]


@_glyph("square")
def _square() -> list[Part]:
    return [part("main", box(-1, -1, 1, 1, 0.16))]


@_glyph("triangle")
def _triangle() -> list[Part]:
    return [part("main", rounded([(0, -1), (1.12, 0.95), (-1.12, 0.95)], 0.26))]


@_glyph("star")
def _star() -> list[Part]:
    radii = [1.0, 0.47] * 5
    angles = [math.radians(-90 + 36 * i) for i in range(10)]
    points = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
    return [part("main", rounded(points, 0.12))]


@_glyph("heart")
def _heart() -> list[Part]:
    t = np.linspace(0, 2 * math.pi, 80, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [part("main", np.stack([x, y], 1) / 16)]


@_glyph("ring")
def _ring() -> list[Part]:
    return [part("main", ellipse(0, 0, 1), ellipse(0, 0, 0.52))]


@_glyph("cross")
def _cross() -> list[Part]:
    a = 0.36
    corners = [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1), (-a, 1), (-a, a), (-1, a), (-1, -a)]
    return [part("main", rounded([*corners, (-a, -a)], 0.12))]


@_glyph("crescent")
def _crescent() -> list[Part]:
    # The inner circle's arc meets the outer circle at its horns.
    inner_x, inner_r = 0.5, 0.78
    x = (1 - inner_r**2 + inner_x**2) / (2 * inner_x)
    horn = math.degrees(math.acos(x))
    inner_horn = math.degrees(math.atan2(math.sin(math.radians(horn)), x - inner_x))
    outer = arc(0, 0, 1, horn, 360 - horn, 60)
    inner = arc(inner_x, 0, inner_r, 360 - inner_horn, inner_horn, 48)
    return [part("main", np.concatenate([outer, inner]))]


@_glyph("sun")
def _sun() -> list[Part]:
    rays = []
    for i in range(8):
        a = math.radians(45 * i)
        along, across = np.array([math.cos(a), math.sin(a)]), np.array([-math.sin(a), math.cos(a)])
        corners = [along * 0.5 + across * 0.3, along * 1.06, along * 0.5 - across * 0.3]
        rays.append(rounded([tuple(c) for c in corners], 0.12))
    return [*(part("dark", ray) for ray in rays), part("main", ellipse(0, 0, 0.62))]


@_glyph("moon")
def _moon() -> list[Part]:
    craters = [ellipse(-0.36, -0.3, 0.24), ellipse(0.34, 0.12, 0.3), ellipse(-0.28, 0.5, 0.18)]
    return [part("main", ellipse(0, 0, 1)), *(part("dark", crater) for crater in craters)]


@_glyph("cloud")
def _cloud() -> list[Part]:
    shade = [box(-1, 0.1, 1, 0.62, 0.26)]
    puffs = [ellipse(-0.55, 0.12, 0.42), ellipse(0.02, -0.18, 0.52), ellipse(0.58, 0.1, 0.4)]
    return [
        *(part("light", c) for c in shade),
        *(part("main", c) for c in puffs),
        part("main", box(-0.96, 0.08, 0.97, 0.5, 0.2)),
    ]


@_glyph("tree")
def _tree() -> list[Part]:
    crown = [ellipse(-0.36, -0.1, 0.44), ellipse(0.36, -0.1, 0.44), ellipse(0, -0.5, 0.5), ellipse(0, 0.02, 0.42)]
    return [
        part("wood", rounded([(-0.16, 0.1), (0.16, 0.1), (0.22, 1), (-0.22, 1)], 0.06)),
        *(part("main", c) for c in crown),
        part("light", ellipse(-0.16, -0.58, 0.2)),
    ]


@_glyph("house")
def _house() -> list[Part]:
    return [
        part("dark", box(0.34, -0.86, 0.6, -0.3, 0.04)),
        part("main", box(-0.76, -0.22, 0.76, 0.9, 0.06)),
        part("dark", rounded([(0, -0.98), (1, -0.08), (-1, -0.08)], 0.1)),
        part("wood", box(0.08, 0.24, 0.48, 0.9, 0.06)),
        part("window", box(-0.52, 0.16, -0.14, 0.54, 0.05)),
    ]


@_glyph("boat")
def _boat() -> list[Part]:
    return [
        part("wood", box(-0.09, -0.95, 0.09, 0.4, 0.04)),
        part("light", rounded([(0.14, -0.92), (0.82, 0.2), (0.14, 0.2)], 0.08)),
        part("light", rounded([(-0.14, -0.62), (-0.14, 0.2), (-0.66, 0.2)], 0.08)),
        part("main", rounded([(-1, 0.3), (1, 0.3), (0.66, 0.92), (-0.66, 0.92)], 0.14)),
    ]


@_glyph("fish")
def _fish() -> list[Part]:
    return [
        part("dark", rounded([(0.4, 0), (1, -0.56), (0.86, 0), (1, 0.56)], 0.12)),
        part("dark", rounded([(-0.35, -0.3), (0.1, -0.72), (0.3, -0.3)], 0.12)),
        part("main", ellipse(-0.22, 0, 0.8, 0.52)),
        part("light", ellipse(-0.02, 0.12, 0.26, 0.16)),
        part("white", ellipse(-0.6, -0.12, 0.15)),
        part("ink", ellipse(-0.63, -0.12, 0.08)),
    ]


@_glyph("flower")
def _flower() -> list[Part]:
    petals = [
        ellipse(0.42 * math.cos(math.radians(a)), -0.32 + 0.42 * math.sin(math.radians(a)), 0.27)
        for a in range(-90, 270, 60)
    ]
    return [
        part("leaf", box(-0.1, 0, 0.1, 1, 0.06)),
        part("leaf", ellipse(0.3, 0.68, 0.28, 0.13, -30)),
        part("leaf", ellipse(-0.3, 0.74, 0.28, 0.13, 30)),
        *(part("main", petal) for petal in petals),
        part("heart", ellipse(0, -0.32, 0.25)),
    ]


@_glyph("bird")
def _bird() -> list[Part]:
    return [
        part("dark", rounded([(0.42, 0.0), (1.05, -0.3), (0.98, 0.2), (0.5, 0.4)], 0.1)),
        part("beak", rounded([(-0.78, -0.42), (-1.1, -0.2), (-0.72, -0.1)], 0.06)),
        part("main", ellipse(0.08, 0.18, 0.62, 0.48, -10)),
        part("main", ellipse(-0.45, -0.28, 0.38)),
        part("dark", ellipse(0.2, 0.08, 0.4, 0.25, -20)),
        part("white", ellipse(-0.54, -0.34, 0.13)),
        part("ink", ellipse(-0.56, -0.34, 0.075)),
    ]


@_glyph("balloon")
def _balloon() -> list[Part]:
    return [
        part("wood", box(-0.07, 0.5, 0.07, 1.02, 0.04)),
        part("dark", rounded([(0, 0.36), (0.2, 0.68), (-0.2, 0.68)], 0.06)),
        part("main", ellipse(0, -0.26, 0.68, 0.76)),
        part("light", ellipse(-0.26, -0.52, 0.13, 0.2, 25)),
    ]


@_glyph("mushroom")
def _mushroom() -> list[Part]:
    cap = np.concatenate([arc(0, 0.06, 0.98, 180, 360), [(0.9, 0.2), (-0.9, 0.2)]])
    return [
        part("cream", rounded([(-0.3, 0), (0.3, 0), (0.42, 0.9), (-0.42, 0.9)], 0.16)),
        part("main", cap),
        part("spot", ellipse(-0.5, -0.2, 0.18)),
        part("spot", ellipse(0.06, -0.52, 0.2)),
        part("spot", ellipse(0.52, -0.12, 0.18)),
    ]


@_glyph("apple")
def _apple() -> list[Part]:
    return [
        part("wood", rounded([(-0.09, -0.98), (0.09, -1.02), (0.09, -0.4), (-0.09, -0.4)], 0.04)),
        part("leaf", ellipse(0.36, -0.82, 0.32, 0.16, -25)),
        part("main", ellipse(-0.34, 0.14, 0.56, 0.7, 8)),
        part("main", ellipse(0.34, 0.14, 0.56, 0.7, -8)),
        part("light", ellipse(-0.48, -0.1, 0.12, 0.2, 20)),
    ]


@_glyph("cup")
def _cup() -> list[Part]:
    return [
        part("dark", ellipse(0.5, 0.02, 0.46, 0.42), ellipse(0.5, 0.02, 0.24, 0.2)),
        part("main", rounded([(-0.9, -0.66), (0.5, -0.66), (0.38, 0.7), (-0.78, 0.7)], 0.16)),
        part("light", rounded([(-0.86, -0.4), (0.47, -0.4), (0.45, -0.14), (-0.84, -0.14)], 0.03)),
    ]


@_glyph("car")
def _car() -> list[Part]:
    return [
        part("main", rounded([(-0.5, -0.56), (0.32, -0.56), (0.66, 0.1), (-0.72, 0.1)], 0.16)),
        part("window", rounded([(-0.42, -0.38), (-0.06, -0.38), (-0.06, 0.0), (-0.54, 0.0)], 0.06)),
        part("window", rounded([(0.08, -0.38), (0.26, -0.38), (0.46, 0.0), (0.08, 0.0)], 0.06)),
        part("main", box(-1, -0.02, 1, 0.46, 0.18)),
        part("ink", ellipse(-0.52, 0.44, 0.27)),
        part("ink", ellipse(0.52, 0.44, 0.27)),
        part("steel", ellipse(-0.52, 0.44, 0.12)),
        part("steel", ellipse(0.52, 0.44, 0.12)),
    ]


@_glyph("butterfly")
def _butterfly() -> list[Part]:
    return [
        part("main", ellipse(-0.5, -0.32, 0.56, 0.4, 38)),
        part("main", ellipse(0.5, -0.32, 0.56, 0.4, -38)),
        part("dark", ellipse(-0.4, 0.4, 0.4, 0.34, -30)),
        part("dark", ellipse(0.4, 0.4, 0.4, 0.34, 30)),
        part("light", ellipse(-0.56, -0.38, 0.2)),
        part("light", ellipse(0.56, -0.38, 0.2)),
        part("ink", ellipse(0, 0.02, 0.13, 0.66)),
    ]
