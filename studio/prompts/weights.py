"""Emphasis: `(word)` x 1.1, `[word]` / 1.1, `(word:1.3)` x 1.3, nested by multiplication; `BREAK`; `\\(` is a bracket.

The rules are those of A1111's `parse_prompt_attention`: a bracket that is never closed counts to the end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from studio.prompts.errors import MAX_DEPTH, too_deep

ROUND, SQUARE = 1.1, 1 / 1.1
_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[)\]]|[^\\()\[\]:]+|:")
_BREAK = re.compile(r"\bBREAK\b")


@dataclass(frozen=True)
class Piece:
    """Words of one weight, from `start` to `end` of the text that was parsed. `ends_chunk`: BREAK follows."""

    text: str
    weight: float
    start: int
    end: int
    ends_chunk: bool = False


def weighted(text: str) -> tuple[Piece, ...]:
    """The text in pieces of equal weight, without its brackets. Raises PromptError where brackets are nested too deep."""
    pieces: list[Piece] = []
    open_at: dict[str, list[int]] = {"(": [], "[": []}  # index of the first piece inside each open bracket

    def multiply(first: int, by: float) -> None:
        pieces[first:] = [replace(piece, weight=piece.weight * by) for piece in pieces[first:]]

    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in open_at:
            open_at[token].append(len(pieces))
            if len(open_at[token]) > MAX_DEPTH:
                raise too_deep(match.start())
        elif match[1] is not None and open_at["("]:
            multiply(open_at["("].pop(), float(match[1]))
        elif token == ")" and open_at["("]:
            multiply(open_at["("].pop(), ROUND)
        elif token == "]" and open_at["["]:
            multiply(open_at["["].pop(), SQUARE)
        else:
            pieces += _words(token, match.start())
    for first in open_at["("]:
        multiply(first, ROUND)
    for first in open_at["["]:
        multiply(first, SQUARE)
    return tuple(_merged(pieces))


def _words(token: str, start: int) -> Iterator[Piece]:
    if len(token) == 2 and token[0] == "\\":
        yield Piece(token[1], 1.0, start, start + 2)
        return
    at = 0
    for match in _BREAK.finditer(token):
        yield Piece(token[at : match.start()].rstrip(), 1.0, start + at, start + match.start(), ends_chunk=True)
        at = match.end() + len(token[match.end() :]) - len(token[match.end() :].lstrip())
    if at < len(token):
        yield Piece(token[at:], 1.0, start + at, start + len(token))


def _merged(pieces: list[Piece]) -> Iterator[Piece]:
    """Neighbours of one weight as one piece; empty ones are left out unless they end a chunk."""
    held: list[Piece] = []
    for piece in pieces:
        if held and (held[-1].ends_chunk or held[-1].weight != piece.weight):
            yield _joined(held)
            held = []
        if piece.text or piece.ends_chunk:
            held.append(piece)
    if held:
        yield _joined(held)


def _joined(pieces: list[Piece]) -> Piece:
    return replace(pieces[-1], text="".join(piece.text for piece in pieces), start=pieces[0].start)
