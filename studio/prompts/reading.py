"""What the page shows of a prompt while it is typed: its words with their weights, its parts by kind, and what is wrong.

Positions are characters of the prompt as it is written.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from studio.core.models import ModelInfo
from studio.core.prompts import PromptReading, PromptSpan, TokenCount, unknown_words
from studio.prompts.composition import Composition, parse
from studio.prompts.errors import PromptError
from studio.prompts.random_parts import WILDCARD, Lines, braces, expand
from studio.prompts.schedule import Switch
from studio.prompts.tags import TAG, lora_of, tags_of
from studio.prompts.weights import weighted

MOST_SPANS = 500
_JOINS = re.compile(r"\b(?:AND|BREAK)\b")
_SYNTAX = re.compile(r"[()\[\]:|]")


def reading_of(
    text: str, info: ModelInfo, models: Sequence[ModelInfo], lines: Lines, count: Callable[[str], TokenCount | None]
) -> PromptReading:
    """What the model reads of the prompt; `count` counts the tokens of plain words."""
    words, where = (text, list(range(len(text)))) if info.capabilities.prompt_help else plain_text(text)
    counted = count(words)
    cut = where[counted.cut] if counted and counted.cut is not None else None
    tokens = {"tokens": counted.tokens, "limit": counted.limit, "cut": cut} if counted else {}
    unknown = tuple(
        each.model_copy(update={"start": where[each.start], "end": where[each.end - 1] + 1})
        for each in unknown_words(words, info.vocabulary)
    )
    spans = () if info.capabilities.prompt_help else spans_of(text, models, lines)
    return PromptReading(**tokens, unknown=unknown, spans=spans)


def spans_of(text: str, models: Sequence[ModelInfo], lines: Lines) -> tuple[PromptSpan, ...]:
    """In order of their beginnings, at most 500; those of what is wrong say why."""
    try:
        tags = tags_of(text)
        for tag in tags:
            lora_of(tag, models)
        expand(_without_tags(text), 0, lines)
        found = list(_spans(_masked(text), text))
    except PromptError as error:
        return (PromptSpan(kind="error", start=error.start, end=max(error.end, error.start), note=str(error)),)
    return tuple(sorted(found, key=lambda span: (span.start, -span.end))[:MOST_SPANS])


def plain_text(text: str) -> tuple[str, list[int]]:
    """The words that are read at first, without syntax, and where each character of them is written."""
    words: list[str] = []
    where: list[int] = []
    for composition in _parsed(_masked(text)):
        conjunct = max(composition.conjuncts, key=lambda each: len(each.schedule.text))
        first = conjunct.schedule.at(1, 20)
        for piece in weighted(first.text):
            words.append(piece.text + (" " if piece.ends_chunk else ""))
            source = [first.source(min(piece.start + n, len(first.text) - 1)) for n in range(len(words[-1]))]
            where += [conjunct.start + at for at in source]
    return "".join(words), where


def _parsed(text: str) -> Iterator[Composition]:
    try:
        yield parse(text)
    except PromptError:
        return


def _spans(masked: str, text: str) -> Iterator[PromptSpan]:
    for match in TAG.finditer(text):
        yield PromptSpan(kind="lora", start=match.start(), end=match.end(), note=match[0][1:-1])
    for start, end in braces(text).items():
        yield PromptSpan(kind="random", start=start, end=end + 1, note="One of these, chosen by the seed.")
    for match in WILDCARD.finditer(text):
        yield PromptSpan(kind="random", start=match.start(), end=match.end(), note=f"A line of {match[1]}.txt.")
    for match in _JOINS.finditer(masked):
        yield PromptSpan(kind="join", start=match.start(), end=match.end())
    for conjunct in parse(masked).conjuncts:
        for choice in conjunct.schedule.choices():
            kind = "schedule" if isinstance(choice, Switch) else "alternation"
            start, end = choice.span
            yield PromptSpan(kind=kind, start=conjunct.start + start, end=conjunct.start + end)
        seen: set[tuple[int, int]] = set()
        for step in (1, 20):
            shown = conjunct.schedule.at(step, 20)
            for piece in weighted(shown.text):
                start, end = (
                    conjunct.start + shown.source(at) for at in (piece.start, max(piece.end - 1, piece.start))
                )
                if piece.weight != 1.0 and piece.text.strip() and (start, end) not in seen:
                    seen.add((start, end))
                    yield PromptSpan(kind="weight", start=start, end=end + 1, weight=round(piece.weight, 3))


def _without_tags(text: str) -> str:
    return TAG.sub(lambda match: " " * len(match[0]), text)


def _masked(text: str) -> str:
    """The same length, with tags blank and the syntax inside braces out of the way."""
    text = _without_tags(text)
    pieces, at = list[str](), 0
    for start, end in sorted(braces(text).items()):
        if start >= at:
            pieces += [text[at:start], _SYNTAX.sub(" ", text[start : end + 1])]
            at = end + 1
    return "".join((*pieces, text[at:]))
