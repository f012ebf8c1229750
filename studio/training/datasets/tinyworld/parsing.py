"""Parses a Tiny World sentence into what it says: the inverse of `captions`.

Nothing is guessed: a sentence outside the grammar raises InvalidRequest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from studio.core.errors import InvalidRequest
from studio.evaluation.expected import Expected, ExpectedGround, ExpectedObject, ExpectedRelation

from .captions import PATTERN_NOUNS, PLACE_PHRASES, SCENE_PHRASES, SIZE_WORDS, SPELLINGS
from .vocabulary import COLOURS, KINDS, PATTERNS, SCENES, STYLES

_SIZES = {word: size for size, words in SIZE_WORDS.items() for word in words}
_PLACES = {phrase: place for place, phrase in PLACE_PHRASES.items()}
_LANDSCAPES = {phrase: kind for kind, phrases in SCENE_PHRASES.items() for phrase in phrases}
_NOUNS = {noun: kind for kind, noun in PATTERN_NOUNS.items()}
# How the second object stands to the first: the relation, and whether it is said the other way round.
_RELATIONS: dict[str, tuple[str, bool]] = {
    "to the left of": ("left of", False),
    "to the right of": ("left of", True),
    "above": ("above", False),
    "over": ("above", False),
    "below": ("above", True),
    "under": ("above", True),
    "next to": ("next to", False),
    "beside": ("next to", False),
}


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def object_pattern(kinds: Iterable[str], colours: Iterable[str]) -> re.Pattern[str]:
    """Finds an object in a sentence: size, colour and kind."""
    colour = _any(colours) or r"\b\B"  # without colours: what never matches
    return re.compile(rf"\b(?:an?|the)(?: ({_any(_SIZES)}))?(?: ({colour}))? ({_any(kinds)})\b")


_OBJECT = object_pattern(KINDS, COLOURS)
_BACKGROUND = re.compile(rf"(?:,| on an?) (?:(?:vertically )?({_any(PATTERNS)}) )?({_any(COLOURS)}) (?:back)?ground$")
_PATTERN = re.compile(rf", (?:vertical )?({_any(COLOURS)}) ({_any(_NOUNS)})$")
_LANDSCAPE = re.compile(rf"(?:, ({_any(SCENES)})| ({_any(_LANDSCAPES)}))$")
_STYLE = re.compile(rf", ({_any(STYLES)}) style$")
_BETWEEN = re.compile(rf"^(?: ({_any(_PLACES)}))?(?:,? ?(?:and)?| ({_any(_RELATIONS)})) ?$")


def parse(caption: str, objects: re.Pattern[str] = _OBJECT) -> Expected:
    """What `caption` says; `objects` is the `object_pattern` of another world that has the same grammar.

    Raises InvalidRequest where it is no sentence of that world.
    """
    text = " ".join(caption.lower().split())
    for usual, other in SPELLINGS:
        text = text.replace(other, usual)
    text, style = _cut_style(text)
    text, ground = _cut_ground(text)
    found = list(objects.finditer(text))
    if not found or found[0].start() != 0:
        raise InvalidRequest(f"{_shown(caption)} names no known object at its beginning.")
    seen, relations = [], []
    for number, match in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        between = _BETWEEN.match(text[match.end() : end])
        if between is None:
            raise InvalidRequest(f"{_shown(caption)} is not a sentence of this grammar near {match.group(0)!r}.")
        size, colour, kind = match.groups()
        place, relation = between.groups()
        seen.append(ExpectedObject(kind, colour, _SIZES.get(size), _PLACES.get(place)))
        if relation is not None:
            name, turned = _RELATIONS[relation]
            pair = (number + 1, number) if turned else (number, number + 1)
            relations.append(ExpectedRelation(pair[0], name, pair[1]))
    if any(max(r.first, r.second) >= len(seen) for r in relations):
        raise InvalidRequest(f"{_shown(caption)} ends before it names its last object.")
    return Expected(tuple(seen), tuple(relations), ground, style)


def _shown(caption: str) -> str:
    return repr(caption if len(caption) <= 80 else caption[:77] + "...")


def _cut_style(text: str) -> tuple[str, str | None]:
    match = _STYLE.search(text)
    return (text[: match.start()], match.group(1)) if match else (text, None)


def _cut_ground(text: str) -> tuple[str, ExpectedGround]:
    if match := _BACKGROUND.search(text):
        return text[: match.start()], ExpectedGround(match.group(1), match.group(2))
    if match := _PATTERN.search(text):
        return text[: match.start()], ExpectedGround(_NOUNS[match.group(2)], match.group(1))
    if match := _LANDSCAPE.search(text):
        return text[: match.start()], ExpectedGround(match.group(1) or _LANDSCAPES[match.group(2)])
    return text, ExpectedGround()
