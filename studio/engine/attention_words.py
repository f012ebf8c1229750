"""What stands at each token that a denoiser attends to: the prompt's words as its tokenizers cut them.

Depends on the pipeline's tokenizers and the prompt language, not on a model's layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from studio.core.request import GenerationRequest
from studio.engine.text_encoding import FAMILIES, Encoder
from studio.prompts import parse

START, END, PADDING, PICTURE = "start", "end", "padding", "picture"


@dataclass(frozen=True)
class Words:
    """`columns`: of each word, the tokens that are it; all that pad the prompt are one. `marks`: which are no words."""

    texts: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    marks: tuple[int, ...]


def words_of(request: GenerationRequest, pipeline: Any, family: str, tokens: int) -> Words:
    """Of `tokens` in all. A word that the prompt changes on the way has all its texts."""
    rows = [list(_row(text, pipeline, family, tokens)) for text in _texts(request)]
    texts: list[str] = []
    columns: list[tuple[int, ...]] = []
    marks: list[int] = []
    padding: list[int] = []
    for column in range(tokens):
        found = dict.fromkeys(row[column] for row in rows if column < len(row))
        if all(mark == PADDING for _, mark in found):  # also where nothing is known of the token
            padding.append(column)
            continue
        if any(mark for _, mark in found):
            marks.append(len(texts))
        texts.append(" / ".join(text for text, _ in found))
        columns.append((column,))
    if padding:
        marks.append(len(texts))
        texts.append(PADDING)
        columns.append(tuple(padding))
    return Words(tuple(texts), tuple(columns), tuple(marks))


def _texts(request: GenerationRequest) -> list[str]:
    """What the first of the prompt's conjuncts is, in the order of the steps."""
    if request.syntax == "literal":
        return [request.prompt]
    rows = parse(request.prompt).conjuncts[0].schedule.rows(request.steps)
    return list(dict.fromkeys(text for _, text in rows))


def _row(text: str, pipeline: Any, family: str, tokens: int) -> Iterator[tuple[str, str]]:
    """(text, mark) of each token."""
    chunks = [text]
    if family in FAMILIES:
        chunks = [chunk.text for chunk in Encoder(pipeline, family, {}).chunks(text)]
    first, second, third = (getattr(pipeline, f"tokenizer{each}", None) for each in ("", "_2", "_3"))
    if family == "sd3":
        rows = [(first or second, chunks[0], 77), (third, chunks[0], tokens - 77)]
    elif family == "flux":
        rows = [(second, chunks[0], tokens)]
    else:
        rows = [(first or second, chunk, tokens // len(chunks)) for chunk in chunks]
    for tokenizer, part, length in rows:
        yield from _tokens(tokenizer, part, length, pipeline)


def _tokens(tokenizer: Any, text: str, length: int, pipeline: Any) -> Iterator[tuple[str, str]]:
    if tokenizer is None:
        yield from [(PADDING, PADDING)] * length
        return
    if hasattr(pipeline, "maybe_convert_prompt"):  # an embedding of several vectors is several tokens
        text = pipeline.maybe_convert_prompt(text, tokenizer)
    read = tokenizer(text, truncation=True, max_length=length, padding="max_length")
    for token, real in zip(read.input_ids, read.attention_mask, strict=True):
        if not real:
            yield PADDING, PADDING
        elif token in tokenizer.all_special_ids:
            mark = START if token == tokenizer.bos_token_id else END
            yield mark, mark
        else:
            yield tokenizer.decode([token]).strip() or "␣", ""
