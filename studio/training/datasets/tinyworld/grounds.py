"""Paints the ground of a scene: patterns in two tones of a colour, and soft landscapes.

A painter takes a ground and a side in pixels and returns an RGB array. Independent of the objects.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .scene import Ground
from .vocabulary import GROUND_TONES, HORIZONS, RGB, SCENE_TONES, mix

Canvas = np.ndarray  # [S, S, 3] uint8
_PAINTERS: dict[str, Callable[[Ground, int], Canvas]] = {}
WHITE: RGB = (255, 255, 255)


def _painter(kind: str) -> Callable[[Callable[[Ground, int], Canvas]], Callable[[Ground, int], Canvas]]:
    def add(paint: Callable[[Ground, int], Canvas]) -> Callable[[Ground, int], Canvas]:
        _PAINTERS[kind] = paint
        return paint

    return add


def paint_ground(ground: Ground, side: int) -> Canvas:
    """The ground alone, side x side."""
    return _PAINTERS[ground.kind](ground, side)


def shift(rgb: RGB, tint: RGB) -> RGB:
    """A tone moved by a scene's own tint, kept within a byte."""
    return tuple(min(255, max(0, c + t)) for c, t in zip(rgb, tint, strict=True))  # type: ignore[return-value]


def _tones(ground: Ground) -> tuple[RGB, ...]:
    tones = SCENE_TONES[ground.kind] if ground.colour is None else GROUND_TONES[ground.colour]
    return tuple(shift(tone, ground.tint) for tone in tones)


def _full(side: int, rgb: RGB) -> Canvas:
    return np.full((side, side, 3), rgb, np.uint8)


def _row(rgb: RGB) -> np.ndarray:
    return np.array(rgb, np.float32)


def _byte(rgb: RGB) -> np.ndarray:
    return np.array(rgb, np.uint8)


def _fade(side: int, height: int, top: RGB, bottom: RGB) -> Canvas:
    """A picture whose first `height` rows run from one tone to another; the rest is the second tone."""
    t = np.clip(np.arange(side, dtype=np.float32) / max(1, height - 1), 0, 1)[:, None]
    rows = _row(top) * (1 - t) + _row(bottom) * t  # [S, 3]
    return np.repeat(np.rint(rows).astype(np.uint8)[:, None], side, 1)


def _ellipse(canvas: Canvas, x: float, y: float, rx: float, ry: float, rgb: RGB) -> None:
    """Fill an ellipse given in fractions of the side."""
    scale = canvas.shape[0] * 16
    centre, axes = (round(x * scale), round(y * scale)), (round(rx * scale), round(ry * scale))
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, rgb, -1, cv2.LINE_AA, 4)


def _land(canvas: Canvas, points: list[tuple[float, float]], rgb: RGB) -> None:
    """Fill below a smooth line through `points` (fractions of the side)."""
    side = canvas.shape[0]
    xs = np.linspace(0, 1, 33)
    px, py = np.array(points).T
    ys = np.interp(xs, px, py)
    ys[1:-1] = np.convolve(np.pad(ys, 3, mode="edge"), np.ones(7) / 7, "valid")[1:-1]
    line = np.stack([xs, ys], 1) * side
    closed = np.concatenate([line, [(side, side + 2), (0, side + 2)]])
    cv2.fillPoly(canvas, [np.rint(closed * 16).astype(np.int32)], rgb, cv2.LINE_AA, 4)


@_painter("plain")
def _plain(ground: Ground, side: int) -> Canvas:
    return _full(side, _tones(ground)[0])


@_painter("striped")
def _striped(ground: Ground, side: int) -> Canvas:
    first, second = _tones(ground)
    band = (np.arange(side) * 8 // side) % 2 == 1
    rows = np.where(band[:, None], _byte(second), _byte(first))  # [S, 3]
    picture = np.repeat(rows[:, None], side, 1)
    return np.ascontiguousarray(picture.transpose(1, 0, 2)) if ground.vertical else picture


@_painter("checkered")
def _checkered(ground: Ground, side: int) -> Canvas:
    first, second = _tones(ground)
    band = (np.arange(side) * 6 // side) % 2 == 1
    return np.where((band[:, None] ^ band[None])[..., None], _byte(second), _byte(first))


@_painter("dotted")
def _dotted(ground: Ground, side: int) -> Canvas:
    first, second = _tones(ground)
    canvas = _full(side, first)
    for row in range(5):
        for column in range(5):
            x = (column + (0.0 if row % 2 else 0.5)) / 4
            _ellipse(canvas, x, (row + 0.5) / 5, 0.062, 0.062, second)
    return canvas


@_painter("gradient")
def _gradient(ground: Ground, side: int) -> Canvas:
    return _fade(side, side, *_tones(ground))


@_painter("sky")
def _sky(ground: Ground, side: int) -> Canvas:
    top, bottom = _tones(ground)
    canvas = _fade(side, side, top, bottom)
    haze = mix(bottom, WHITE, 0.35)
    rng = np.random.default_rng(ground.seed)
    for x, y in ((0.08 + 0.2 * rng.random(), 0.93), (0.72 + 0.2 * rng.random(), 0.97)):
        _ellipse(canvas, x, y + 0.06, 0.26, 0.14, haze)
        _ellipse(canvas, x + 0.1, y, 0.14, 0.12, haze)
    return canvas


@_painter("night")
def _night(ground: Ground, side: int) -> Canvas:
    top, bottom = _tones(ground)
    canvas = _fade(side, side, top, bottom)
    for x, y, r in np.random.default_rng(ground.seed).random((14, 3)):
        _ellipse(canvas, x, y, 0.012 + 0.008 * r, 0.012 + 0.008 * r, (226, 226, 190))
    return canvas


@_painter("sea")
def _sea(ground: Ground, side: int) -> Canvas:
    sky, water, deep = _tones(ground)
    horizon = HORIZONS["sea"]
    canvas = _fade(side, round(horizon * side), sky, mix(sky, WHITE, 0.45))
    canvas[round(horizon * side) :] = water
    phase = np.random.default_rng(ground.seed).random()
    for row, (y, tone) in enumerate(((0.70, mix(water, deep, 0.5)), (0.84, deep))):
        xs = np.linspace(0, 1, 33)
        crest = y - 0.022 * np.abs(np.sin((xs * 4 + phase + 0.5 * row) * np.pi))
        points = np.concatenate([np.stack([xs, crest], 1), [(1, 1.02), (0, 1.02)]]) * side
        cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], tone, cv2.LINE_AA, 4)
    return canvas


@_painter("hills")
def _hills(ground: Ground, side: int) -> Canvas:
    sky, far, near = _tones(ground)
    canvas = _fade(side, round(0.6 * side), sky, mix(sky, WHITE, 0.5))
    a, b = 0.08 * (np.random.default_rng(ground.seed).random(2) - 0.5)
    _land(canvas, [(0, 0.62 + a), (0.3, 0.46 + a), (0.62, 0.62), (1, 0.50 + b)], far)
    _land(canvas, [(0, 0.72), (0.35, 0.78 + b), (0.75, 0.64 + a), (1, 0.70)], near)
    return canvas


@_painter("snow")
def _snow(ground: Ground, side: int) -> Canvas:
    sky, snow, shade = _tones(ground)
    canvas = _fade(side, round(0.64 * side), sky, mix(sky, snow, 0.4))
    rng = np.random.default_rng(ground.seed)
    for x, y, r in rng.random((12, 3)):
        _ellipse(canvas, x, y * 0.6, 0.013 + 0.007 * r, 0.013 + 0.007 * r, (248, 251, 254))
    a = 0.06 * (rng.random() - 0.5)
    _land(canvas, [(0, 0.66), (0.4, 0.60 + a), (1, 0.68 - a)], shade)
    _land(canvas, [(0, 0.80 + a), (0.5, 0.76), (1, 0.72 + a)], snow)
    return canvas


@_painter("desert")
def _desert(ground: Ground, side: int) -> Canvas:
    sky, far, near = _tones(ground)
    canvas = _fade(side, round(0.6 * side), sky, mix(sky, WHITE, 0.4))
    a = 0.08 * (np.random.default_rng(ground.seed).random() - 0.5)
    _land(canvas, [(0, 0.58 + a), (0.35, 0.66), (0.75, 0.54 - a), (1, 0.62)], far)
    _land(canvas, [(0, 0.72), (0.4, 0.70 + a), (0.8, 0.80), (1, 0.76)], near)
    return canvas


@_painter("meadow")
def _meadow(ground: Ground, side: int) -> Canvas:
    sky, grass, near = _tones(ground)
    canvas = _fade(side, round(0.6 * side), sky, mix(sky, WHITE, 0.5))
    _land(canvas, [(0, 0.6), (0.5, 0.58), (1, 0.6)], grass)
    _land(canvas, [(0, 0.76), (0.5, 0.78), (1, 0.75)], near)
    for x, y, r in np.random.default_rng(ground.seed).random((10, 3)):
        tone = (250, 246, 226) if r < 0.6 else (252, 222, 110)
        _ellipse(canvas, x, 0.66 + 0.32 * y, 0.017, 0.017, tone)
    return canvas


@_painter("sunset")
def _sunset(ground: Ground, side: int) -> Canvas:
    low, high, water = _tones(ground)
    horizon = round(HORIZONS["sunset"] * side)
    canvas = _fade(side, horizon, high, mix(low, (255, 226, 160), 0.4))
    canvas[horizon:] = water
    phase = 0.2 * np.random.default_rng(ground.seed).random()
    for x, y in ((0.1 + phase, 0.80), (0.55 + phase, 0.87), (0.2 + phase, 0.94)):
        _ellipse(canvas, x + 0.1, y, 0.15, 0.014, mix(water, high, 0.45))
    return canvas
