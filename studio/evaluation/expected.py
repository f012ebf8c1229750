"""What a prompt asks to be seen in a picture, as plain data.

A data set's parser writes it, a judge reads it. This module does not know grammar, pictures and models.
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
    """Object number `first` stands `name` object number `second`."""

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
    """A prompt and what it asks for."""

    text: str
    expected: Expected
