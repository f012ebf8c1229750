"""What can be said of a prompt before it is used: how much of it the model reads, and which of its words it does not know.

Positions are counted in characters of the text. Knows no tokenizer: the manager counts tokens (`manager/prompt_tokens.py`).
"""

import difflib
import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

Vocabulary = Mapping[
    str, tuple[str, ...]
]  # title of a group -> its words or phrases; "" groups the words that name nothing
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SYMBOL = re.compile(r"[^\w\s!-/:-@\[-`{-~‘’“”–—…]+")  # no word and no punctuation: an emoji, say
LONGEST = 20_000  # characters that are looked at


class Unknown(BaseModel):
    """A word, from `start` to `end`, and known ones that are spelled like it."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int
    alike: tuple[str, ...] = ()


class TokenCount(NamedTuple):
    tokens: int
    limit: int
    cut: int | None  # index of the first character that the model does not read; None: it reads all


class PromptSpan(BaseModel):
    """A piece of the prompt language, from `start` to `end`. `kind`: weight, schedule, alternation, random, lora, join or
    error, whose `note` is the sentence."""

    model_config = ConfigDict(frozen=True)

    kind: str
    start: int
    end: int
    weight: float | None = None
    note: str = ""


class PromptReading(BaseModel):
    """`tokens` and `limit` are None where the model's tokenizer cannot be read; `cut` is where the model stops reading."""

    model_config = ConfigDict(frozen=True)

    tokens: int | None = None
    limit: int | None = None
    cut: int | None = None
    unknown: tuple[Unknown, ...] = ()
    spans: tuple[PromptSpan, ...] = ()


def unknown_words(text: str, vocabulary: Vocabulary) -> tuple[Unknown, ...]:
    """The words and symbols of a prompt that are in no group of the vocabulary; none for a model without one."""
    known = {word for group in vocabulary.values() for phrase in group for word in phrase.lower().split()}
    if not known:
        return ()
    text = text[:LONGEST]
    words = [m.span() for m in _WORD.finditer(text) if m[0].lower() not in known]
    symbols = [m.span() for m in _SYMBOL.finditer(text)]
    alike: dict[str, tuple[str, ...]] = {}
    for start, end in words[:50]:
        word = text[start:end].lower()
        alike[word] = alike.get(word) or tuple(difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.75))
    return tuple(
        Unknown(start=start, end=end, alike=alike.get(text[start:end].lower(), ()))
        for start, end in sorted([*words, *symbols])
    )
