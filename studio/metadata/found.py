"""What a picture's texts say, in the words of the program that wrote them; `fit` makes settings of ours of it.

Knows no program, no model and no sampler.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from studio.metadata.containers import COMMENT, USER_COMMENT

PARAMETERS = "parameters"
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".gguf", ".onnx")


@dataclass(frozen=True)
class File:
    """A model, VAE or LoRA as another program names it; `weight` and `text_weight` are a LoRA's."""

    name: str = ""
    hash: str = ""
    weight: float = 1.0
    text_weight: float | None = None

    @property
    def stem(self) -> str:
        """The name without folders, of either kind of slash, and without the suffix of a weights file."""
        last = self.name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        lowered = last.lower()
        return next((last[: -len(each)] for each in SUFFIXES if lowered.endswith(each)), last)


@dataclass
class Found:
    """One picture's settings as they were read. `values` are fields of GenerationRequest by name, still unchecked."""

    program: str  # as people write it
    prompt: str | None = ""  # None: not known
    negative_prompt: str | None = ""
    values: dict[str, Any] = field(default_factory=dict)
    sampler: str = ""  # as the program spells it, and with its schedule where that is part of the name
    schedule: str = ""
    model: File | None = None
    vae: File | None = None
    loras: list[File] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)  # of ours, where the text has our own names
    strength: float | None = None  # of a run that began from a picture
    unused: list[str] = field(default_factory=list)  # names of settings that have no place here
    notes: list[str] = field(default_factory=list)

    def put(self, name: str, value: Any) -> None:
        """A field's value, a number where it is one; nothing where there is none."""
        if value is not None and value != "":
            self.values[name] = number(value)


class Texts(dict[str, str]):
    """The texts of one file by name, and what of them is JSON, parsed once."""

    def __init__(self, texts: dict[str, str]):
        super().__init__(texts)
        self._parsed: dict[str, Any] = {}

    def object(self, name: str) -> dict[str, Any]:
        """The JSON object under that name; empty if there is none."""
        if name not in self._parsed:
            self._parsed[name] = as_object(self.get(name))
        return self._parsed[name]

    @property
    def main(self) -> str:
        """The name of the text that most programs write: PNG's "parameters", or the comment of other formats."""
        return next((name for name in (PARAMETERS, USER_COMMENT, COMMENT) if self.get(name)), PARAMETERS)


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object, whether it is parsed already or still text; empty for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = json.loads(value.strip("\x00 \r\n\t"))
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list, whatever else is in it."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """Text as it is; nothing for any other value."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> Any:
    """As a request would be given it. Text that is no number stays text, and is refused by its field."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value.strip())
        except ValueError:
            continue
    return value


def decimal(value: Any) -> float | None:
    """A finite number, or None."""
    found = number(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        return float(found) if math.isfinite(found) else None
    except OverflowError:
        return None


def size(value: Any) -> tuple[int, int] | None:
    """ "512x768" as a pair; None for anything else."""
    width, cross, height = text(value).strip().lower().partition("x")
    digits = width.strip().isdecimal() and height.strip().isdecimal() and len(width) + len(height) < 20
    return (int(width), int(height)) if cross and digits else None


def left(data: dict[str, Any], known: frozenset[str] | set[str]) -> list[str]:
    """The keys of `data` that nobody knows and that say something."""
    return [key for key, value in data.items() if key not in known and value not in (None, "", False, [], {}, "None")]
