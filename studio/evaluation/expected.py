"""What a prompt says that a picture should show, as plain data.

A data set's parser makes it, the adherence metric reads it. Independent of grammar, pictures and models.
"""

from __future__ import annotations

from dataclasses import dataclass

RELATIONS = ("left of", "above", "next to")


@dataclass(frozen=True, slots=True)
class ExpectedObject:
    kind: str
    colour: str | None = None  # None: not named
    size: str | None = None  # small | large | None
    place: str | None = None  # "left", "top right", "middle", ... | None


@dataclass(frozen=True, slots=True)
class ExpectedRelation:
    """Object number `first` is `name` ("left of", ...) object number `second`."""

    first: int
    name: str  # one of RELATIONS
    second: int


@dataclass(frozen=True, slots=True)
class ExpectedGround:
    kind: str | None = None  # None: not named ("white background" names the colour alone)
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    objects: tuple[ExpectedObject, ...]
    relations: tuple[ExpectedRelation, ...] = ()
    ground: ExpectedGround = ExpectedGround()
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and what it says."""

    text: str
    expected: Expected
