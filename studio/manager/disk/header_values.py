"""What a header is, as plain values; opening a file safely, and showing its words safely. Knows no format."""

import os
import stat
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from studio.core.errors import ModelError

MAX_HEADER = 32 << 20
MAX_TENSORS = 50_000
MAX_RANK = 16
MAX_NUMBER = 1 << 63
MAX_NAME = 512  # letters of a tensor's name
MAX_NAMES = 8 << 20  # of all names together
SPELLED = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}  # as the request spells them
UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Tensor(NamedTuple):
    """One tensor's entry: dtype as safetensors (or GGUF) names it, shape in PyTorch's order, bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Header:
    """A checked header."""

    format: str  # "safetensors" | "gguf"
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    size: int = 0  # of the file

    @property
    def dtype(self) -> str | None:
        """The dtype that holds most bytes, as the request spells it where it can ("fp16")."""
        weight: dict[str, int] = {}
        for tensor in self.tensors.values():
            weight[tensor.dtype] = weight.get(tensor.dtype, 0) + tensor.bytes
        most = max(weight, key=lambda name: weight[name], default=None)
        return SPELLED.get(most, most.lower().replace("f8_", "fp8_")) if most else None


def open_file(path: Path) -> BinaryIO:
    """Open what is truly a file: a named pipe would be waited for, and a device never ends. Raises ModelError, OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelError("This is not a file but a folder, a pipe, a socket or a device.")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # swapped in between
        file.close()
        raise ModelError("This is not a file but a folder, a pipe, a socket or a device.")
    return file


def check_names(names: Collection[str]) -> None:
    """Refuse names that no network has, for whoever searches them takes time by their length. Raises ModelError."""
    longest = max(names, key=len, default="")
    if len(longest) > MAX_NAME or sum(map(len, names)) > MAX_NAMES:
        raise ModelError(f"Its header gives its tensors names without end, such as {shown(longest)!r}.")


def shown(name: str, most: int = 80) -> str:
    """Words of a file, as they may stand in a sentence: short, and without anything that is not to be seen."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def readable(name: str) -> str:
    """A file's name as text of one line: bytes that are no UTF-8, controls, and marks that turn the direction become U+FFFD."""
    if name.isprintable():
        return name
    return "".join("\ufffd" if unicodedata.category(letter) in UNSEEN or letter in TURNS else letter for letter in name)
