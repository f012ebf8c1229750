"""A whole prompt: conjuncts joined by `AND`, each with a weight (`a AND b :0.7`) and a schedule of its own.

Composable diffusion (Liu et al. 2022): each conjunct is predicted by itself, and their guidance is added.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from studio.prompts.errors import LONGEST, PromptError
from studio.prompts.schedule import Schedule, schedule_of
from studio.prompts.weights import Piece, weighted

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r":\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*$")


@dataclass(frozen=True)
class Conjunct:
    """`start`: where its text begins in the prompt."""

    weight: float
    schedule: Schedule
    start: int = 0


@dataclass(frozen=True)
class Composition:
    conjuncts: tuple[Conjunct, ...]

    @property
    def changes(self) -> bool:
        """Whether it is not the same at every step."""
        return any(each.schedule.changes for each in self.conjuncts)

    @property
    def words(self) -> str | None:
        """The text without escapes, if it is nothing but words of weight 1; None if it is more."""
        if len(self.conjuncts) > 1 or self.changes:
            return None
        pieces = weighted(self.conjuncts[0].schedule.text)
        return None if is_weighted(pieces) else "".join(piece.text for piece in pieces)


def is_weighted(pieces: tuple[Piece, ...]) -> bool:
    return any(piece.weight != 1.0 or piece.ends_chunk for piece in pieces)


def parse(prompt: str) -> Composition:
    """Raises PromptError for what is longer or deeper than any prompt. Takes time linear in it."""
    if len(prompt) > LONGEST:
        raise PromptError(f"The prompt is {len(prompt):,} characters long; at most {LONGEST:,} are read.")
    found: list[Conjunct] = []
    edges = [(0, 0), *(match.span() for match in _AND.finditer(prompt)), (len(prompt), len(prompt))]
    for (_, start), (end, _) in pairwise(edges):
        text, weight = prompt[start:end], 1.0
        if len(edges) > 2 and (match := _WEIGHT.search(text)):
            text, weight = text[: match.start()], float(match[1])
        found.append(_conjunct(text, weight, start))
    return Composition(tuple(found))


def _conjunct(text: str, weight: float, start: int) -> Conjunct:
    try:
        schedule = schedule_of(text)
        weighted(text)
    except PromptError as error:
        raise PromptError(str(error), start + error.start, start + error.end) from None
    return Conjunct(weight, schedule, start)
