"""A scene of Tiny World as frozen plain data, and which scenes belong to which split.

Independent of how a scene is sampled, described and drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .vocabulary import RGB

Split = Literal["train", "held_out"]
HELD_OUT_PERCENT = 8


@dataclass(frozen=True, slots=True)
class Ground:
    kind: str  # a pattern or a landscape
    colour: str | None = None  # patterns only
    vertical: bool = False  # stripes only
    seed: int = 0  # places of the small decoration
    tint: RGB = (0, 0, 0)  # added to every tone


@dataclass(frozen=True, slots=True)
class SceneObject:
    kind: str
    colour: str | None  # None: a thing's natural colour
    size: str  # small | medium | large
    place: str | None  # named place, None where it stands by default
    x: float  # centre, fraction of the width
    y: float  # centre, fraction of the height
    extent: float  # longer side, fraction of the picture
    tilt: float = 0.0  # degrees
    tint: RGB = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Scene:
    objects: tuple[SceneObject, ...]
    ground: Ground
    layout: str = "one"  # one | row | column | triangle | triangle_down
    style: str = "flat"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-clean dictionary; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scene:
        def tinted(values: dict[str, Any]) -> dict[str, Any]:
            return {**values, "tint": tuple(values["tint"])}

        objects = tuple(SceneObject(**tinted(o)) for o in data["objects"])
        return cls(objects, Ground(**tinted(data["ground"])), data["layout"], data["style"])


def is_held_out(obj: SceneObject, ground: Ground) -> bool:
    """Whether this object on this ground is kept from training: a hash that never changes."""
    key = "|".join((obj.kind, obj.colour or "natural", ground.kind, ground.colour or "scene"))
    return zlib.crc32(key.encode()) % 100 < HELD_OUT_PERCENT


def split_of(scene: Scene) -> Split:
    """`held_out` if any object of the scene stands on a ground that training never shows it on."""
    return "held_out" if any(is_held_out(obj, scene.ground) for obj in scene.objects) else "train"
