"""The words of Tiny World and what they look like: colours, shapes, things, grounds, styles.

Plain data only.
"""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (218, 44, 48),
    "orange": (250, 142, 34),
    "yellow": (252, 214, 54),
    "green": (52, 158, 80),
    "blue": (32, 82, 204),
    "purple": (122, 48, 164),
    "pink": (250, 142, 192),
    "white": (250, 250, 250),
    "black": (30, 30, 36),
    "brown": (134, 84, 48),
    "gray": (140, 145, 152),
}
MINOR_COLOURS = ("brown", "gray")

# A ground of a colour has two tones, so that a pattern is seen and objects still stand out.
GROUND_TONES: dict[str, tuple[RGB, RGB]] = {
    "red": ((208, 48, 54), (170, 30, 44)),
    "orange": ((243, 138, 42), (222, 108, 22)),
    "yellow": ((250, 210, 64), (254, 234, 148)),
    "green": ((72, 166, 92), (142, 206, 150)),
    "blue": ((76, 138, 232), (136, 184, 246)),
    "purple": ((152, 98, 204), (120, 66, 172)),
    "pink": ((246, 152, 194), (234, 114, 166)),
    "white": ((250, 250, 250), (216, 221, 229)),
    "black": ((32, 32, 38), (72, 74, 86)),
    "brown": ((142, 94, 58), (186, 144, 108)),
    "gray": ((146, 151, 158), (190, 194, 201)),
}

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent")


class ThingKind(NamedTuple):
    """Where a thing belongs in a landscape, and the colours it has when none is named."""

    habitat: str  # sky | land | water
    main: RGB
    dark: RGB | None = None
    light: RGB | None = None


THINGS: dict[str, ThingKind] = {
    "sun": ThingKind("sky", (253, 206, 48), (247, 158, 40)),
    "moon": ThingKind("sky", (248, 236, 186), (218, 200, 140)),
    "cloud": ThingKind("sky", (252, 252, 254), None, (222, 230, 240)),
    "bird": ThingKind("sky", (58, 122, 206), (34, 82, 158), (190, 214, 244)),
    "balloon": ThingKind("sky", (222, 58, 66), (170, 34, 44), (246, 150, 150)),
    "butterfly": ThingKind("sky", (150, 80, 200), (104, 50, 150), (216, 170, 240)),
    "tree": ThingKind("land", (56, 146, 72), (40, 116, 56), (112, 184, 100)),
    "house": ThingKind("land", (236, 206, 158), (196, 66, 54)),
    "flower": ThingKind("land", (240, 112, 166)),
    "mushroom": ThingKind("land", (214, 56, 50)),
    "apple": ThingKind("land", (210, 46, 46)),
    "car": ThingKind("land", (208, 54, 50), (160, 36, 38)),
    "cup": ThingKind("land", (74, 132, 190), (48, 98, 152), (150, 192, 228)),
    "boat": ThingKind("water", (150, 92, 52), (112, 66, 36), (248, 232, 192)),
    "fish": ThingKind("water", (246, 142, 44), (214, 100, 24), (252, 196, 130)),
}

PATTERNS = ("plain", "striped", "dotted", "gradient", "checkered")
SCENES = ("sky", "night", "sea", "hills", "snow", "desert", "meadow", "sunset")
STYLES = ("flat", "outline", "soft", "pixel")
SIZES = ("small", "medium", "large")
PLACES = (
    "left",
    "right",
    "top",
    "bottom",
    "middle",
    "top left",
    "top right",
    "bottom left",
    "bottom right",
)

# The main tones of each landscape from top to bottom: an object may be in front of any of them.
SCENE_TONES: dict[str, tuple[RGB, ...]] = {
    "sky": ((112, 180, 236), (172, 214, 245)),
    "night": ((22, 26, 66), (52, 56, 112)),
    "sea": ((170, 216, 242), (56, 150, 196), (40, 124, 176)),
    "hills": ((170, 216, 244), (140, 196, 112), (98, 168, 86)),
    "snow": ((150, 192, 226), (244, 248, 252), (222, 232, 244)),
    "desert": ((250, 222, 170), (236, 184, 112), (218, 156, 84)),
    "meadow": ((190, 226, 246), (150, 204, 104), (116, 180, 84)),
    "sunset": ((250, 176, 110), (240, 124, 116), (92, 62, 116)),
}
# Height of the horizon as a fraction of the picture; the airy grounds have none.
HORIZONS: dict[str, float] = {"sea": 0.56, "hills": 0.60, "snow": 0.64, "desert": 0.62, "meadow": 0.60, "sunset": 0.70}
SURFACES: dict[str, str] = {
    "sea": "water",
    "sunset": "water",
    "hills": "land",
    "snow": "land",
    "desert": "land",
    "meadow": "land",
}

KINDS: tuple[str, ...] = SHAPES + tuple(THINGS)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Return `a` with `share` of it replaced by `b`."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def main_rgb(kind: str, colour: str | None) -> RGB:
    """The dominant colour of an object; `None` is the natural colour of a thing."""
    return COLOURS[colour] if colour is not None else THINGS[kind].main


def distance(a: RGB, b: RGB) -> float:
    """Perceived difference of two colours ("redmean", https://www.compuphase.com/cmetric.htm), 0 to about 765."""
    red = (a[0] + b[0]) / 2
    dr, dg, db = (x - y for x, y in zip(a, b, strict=True))
    return ((2 + red / 256) * dr * dr + 4 * dg * dg + (2 + (255 - red) / 256) * db * db) ** 0.5


def ground_tones(kind: str, colour: str | None) -> tuple[RGB, ...]:
    """All main tones of a ground."""
    if colour is None:
        return SCENE_TONES[kind]
    first, second = GROUND_TONES[colour]
    return (first,) if kind == "plain" else (first, second)


CONTRAST = 142.0


def stands_out(kind: str, colour: str | None, ground_kind: str, ground_colour: str | None) -> bool:
    """Whether an object is clearly seen before a ground."""
    if colour is not None and colour == ground_colour:
        return False
    rgb = main_rgb(kind, colour)
    return all(distance(rgb, tone) >= CONTRAST for tone in ground_tones(ground_kind, ground_colour))
