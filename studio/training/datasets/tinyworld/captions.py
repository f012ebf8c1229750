"""Captions of a scene: one canonical sentence, and varied ones as people would type them.

`parsing` is the inverse. Independent of pixels.
"""

from __future__ import annotations

import numpy as np

from .scene import Ground, Scene, SceneObject

SIZE_WORDS = {"small": ("small", "tiny", "little"), "large": ("large", "big", "huge")}
PLACE_PHRASES: dict[str, str] = {
    "left": "on the left",
    "right": "on the right",
    "middle": "in the middle",
    "top": "at the top",
    "bottom": "at the bottom",
    "top left": "at the top left",
    "top right": "at the top right",
    "bottom left": "at the bottom left",
    "bottom right": "at the bottom right",
}
SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "sky": ("in the sky",),
    "night": ("at night", "in the night"),
    "sea": ("at sea", "by the sea"),
    "hills": ("on the hills", "in the hills"),
    "snow": ("in the snow",),
    "desert": ("in the desert",),
    "meadow": ("in a meadow", "in the meadow"),
    "sunset": ("at sunset",),
}
PATTERN_NOUNS = {"striped": "stripes", "dotted": "dots", "gradient": "gradient", "checkered": "checks"}
SPELLINGS = (("in the middle", "in the center"), ("gray", "grey"))
UNIQUE = ("sun", "moon")
ARTICLES = {"unicorn": "a", "hourglass": "an"}  # by their sound, not by their first letter
CANONICAL_SHARE = 0.6
LEFT_OUT = 0.10


def article(words: str) -> str:
    """`words` with its indefinite article."""
    return ARTICLES.get(words, "an" if words[0] in "aeiou" else "a") + " " + words


def say_object(obj: SceneObject, size_word: str | None = None) -> str:
    """The noun phrase of an object."""
    words = " ".join(w for w in (size_word, obj.colour, obj.kind) if w)
    return f"the {words}" if words in UNIQUE else article(words)


def say_ground(ground: Ground) -> str:
    """The canonical phrase of a ground."""
    if ground.colour is None:
        return ground.kind
    vertically = "vertically " if ground.vertical else ""
    return f"{vertically}{ground.kind} {ground.colour} background"


def _named_size(obj: SceneObject) -> str | None:
    return None if obj.size == "medium" else obj.size


def _arrange(scene: Scene, said: list[str]) -> str:
    """The canonical sentence part that places the objects."""
    if scene.layout == "column":
        return f"{said[0]} above {said[1]}"
    placed = [
        f"{words} {PLACE_PHRASES[obj.place]}" if obj.place else words
        for words, obj in zip(said, scene.objects, strict=True)
    ]
    return placed[0] if len(placed) == 1 else f"{', '.join(placed[:-1])} and {placed[-1]}"


def canonical_caption(scene: Scene) -> str:
    """The one standard sentence of a scene: sizes, colours, places and ground all named."""
    said = [say_object(obj, _named_size(obj)) for obj in scene.objects]
    return f"{_arrange(scene, said)}, {say_ground(scene.ground)}{_style(scene)}"


def placeless_caption(scene: Scene, rng: np.random.Generator) -> str:
    """The things, in any order, and the ground: neither places nor sizes, which a ControlNet's map says."""
    said = [say_object(scene.objects[int(i)]) for i in rng.permutation(len(scene.objects))]
    things = " and ".join([*([", ".join(said[:-1])] if said[1:] else []), said[-1]])
    return f"{things}, {say_ground(scene.ground)}{_style(scene)}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence that is true of the scene; canonical with 60 % probability."""
    if rng.random() < CANONICAL_SHARE:
        return canonical_caption(scene)
    said = [_vary_object(obj, rng) for obj in scene.objects]
    ground = "" if rng.random() < LEFT_OUT / (1 - CANONICAL_SHARE) else _vary_ground(scene.ground, rng)
    sentence = f"{_vary_arrangement(scene, said, rng)}{ground}{_style(scene)}"
    if rng.random() < 0.4:
        for usual, other in SPELLINGS:
            sentence = sentence.replace(usual, other)
    return sentence


def _style(scene: Scene) -> str:
    return "" if scene.style == "flat" else f", {scene.style} style"


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.random() * len(options))]


def _vary_object(obj: SceneObject, rng: np.random.Generator) -> str:
    size = _named_size(obj)
    if size is not None:
        size = None if rng.random() < LEFT_OUT / (1 - CANONICAL_SHARE) else _choose(rng, SIZE_WORDS[size])
    said = say_object(obj, size)
    if said.removeprefix("the ") in UNIQUE and rng.random() < 0.5:
        return article(obj.kind)
    return said


def _vary_ground(ground: Ground, rng: np.random.Generator) -> str:
    if ground.colour is None:
        return " " + _choose(rng, SCENE_PHRASES[ground.kind])
    standard = say_ground(ground)
    forms = [f" on {article(standard)}", f", {standard.removesuffix('background')}ground"]
    if ground.kind == "plain":
        forms += [f", {ground.colour} background", f" on {article(ground.colour)} background"]
    else:
        vertical = "vertical " if ground.vertical else ""
        forms += [f", {vertical}{ground.colour} {PATTERN_NOUNS[ground.kind]}"]
    return _choose(rng, tuple(forms))


def _vary_arrangement(scene: Scene, said: list[str], rng: np.random.Generator) -> str:
    options: tuple[str, ...]
    if scene.layout == "column":
        first, second = said
        options = (
            f"{second} below {first}",
            f"{second} under {first}",
            f"{first} over {second}",
            f"{first} at the top and {second} at the bottom",
        )
        return _choose(rng, options)
    if scene.layout == "row":
        first, second = said
        left, right = scene.objects
        level = abs(left.x - right.x) > abs(left.y - right.y)  # a cloud far above a boat is not beside it
        options = (
            f"{first} to the left of {second}",
            f"{second} to the right of {first}",
            f"{first} {'next to' if level else 'and'} {second}",
            f"{first} {'beside' if level else 'and'} {second}",
            f"{first} and {second}",
            f"{second} and {first}",
            f"{first} on the left, {second} on the right",
            f"{second} on the right and {first} on the left",
        )
        return _choose(rng, options)
    if scene.layout == "row3" and rng.random() < 0.3:
        return f"{said[0]}, {said[1]} and {said[2]}"
    return _arrange(scene, said)
