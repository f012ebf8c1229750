"""Questions that the rules of `sniff` ask of a header, what they answer, and the table that they go by, `signatures.yaml`."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from studio.core.models import Kind
from studio.manager.disk.headers import Header, Tensor

SIGNATURES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("signatures.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Sniffed:
    """What a header shows. A LoRA's variant is the flavour that it was trained in: "kohya", "peft dora"."""

    kind: Kind
    family: str | None = None
    variant: str = ""
    prediction: str = "epsilon"
    problem: str | None = None


class Notes(NamedTuple):
    """What lies beside a file says of it (see `notes`); empty where nothing says any."""

    base: str = ""  # its base model, as Civitai calls it
    description: str = ""  # a line or two on it
    folders: str = ""  # the names of the two above it
    triggers: str = ""  # trigger words, with commas between them
    predicts_v: bool = False

    @property
    def family(self) -> str | None:
        return family_of_base(self.base)


def family_of_base(base: str) -> str | None:
    """The family of a base model, as people write it."""
    return next((family for words, family in SIGNATURES["bases"] if re.match(words, base, re.IGNORECASE)), None)


class View:
    """A header, its file's name and notes. All names are in one text, so that a question is one search at C's speed.

    Each name begins and ends with a line break: "\\nvae." asks for names that start with "vae.".
    """

    def __init__(self, header: Header, name: str, notes: Notes = Notes()):
        self.header = header
        self.name = name
        self.notes = notes
        self.tensors: dict[str, Tensor] = header.tensors

    @cached_property
    def _text(self) -> str:
        return "\n".join(["", *sorted(self.tensors), ""])

    def has(self, *keys: str) -> bool:
        """Whether all of these tensors are there."""
        return all(key in self.tensors for key in keys)

    def starts(self, *prefixes: str) -> bool:
        """Whether any tensor's name begins with any of these."""
        return any("\n" + prefix in self._text for prefix in prefixes)

    def contains(self, *words: str) -> bool:
        return any(word in self._text for word in words)

    def matches(self, pattern: str) -> bool:
        """Whether the pattern is found in any tensor's name; ^ and $ are a name's ends."""
        return re.search(pattern, self._text, re.MULTILINE) is not None

    def size(self, key: str, axis: int) -> int:
        """The length of one axis of a tensor; 0 if there is none."""
        shape = self.tensors[key].shape if key in self.tensors else ()
        return shape[axis] if -len(shape) <= axis < len(shape) else 0

    def first_size(self, pattern: str, axis: int) -> int:
        """The same of the first tensor, in name order, whose name the pattern fits."""
        found = re.search(pattern, self._text, re.MULTILINE)
        if not found:
            return 0
        begin = self._text.rfind("\n", 0, found.end()) + 1
        return self.size(self._text[begin : self._text.find("\n", found.end())], axis)

    def metadata(self, key: str) -> str:
        return self.header.metadata.get(key, "").lower()
