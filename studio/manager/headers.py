"""Reads what a weights file says of itself: names, shapes and dtypes of its tensors, from a few kilobytes at its start.

Nothing is believed that the file's size does not bear out. Never reads a tensor, never unpickles, imports no torch.
Knows file formats; refuses to know models (`sniff` does).
"""

import json
import math
import os
import re
import stat
import struct
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from studio.core.errors import ModelError

MAX_HEADER = 32 << 20
MAX_TENSORS = 50_000
MAX_RANK = 16
MAX_NUMBER = 1 << 63
MAX_MARKS = 1_000_000  # of one sort: a tensor's entry has about ten
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
SPELLED = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}  # as the request spells them
ZIP = b"PK\x03\x04"
OLD_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
OTHER_FORMATS = {
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"RIFF": "a picture or a sound", b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"%PDF": "a PDF", b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file of Keras or TensorFlow",
}  # fmt: skip
UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class PickleFile(ModelError):
    """The file is a pickle, whatever its suffix says: reading it could run code, so it is not read."""


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


def read_header(path: Path) -> Header:
    """The header of a safetensors or GGUF file; raises ModelError with the true reason, PickleFile for a pickle."""
    try:
        with open_file(path) as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        what = "It is a link to a file that is not there." if path.is_symlink() else "The file is no longer there."
        raise ModelError(what) from None
    except OSError as error:
        raise ModelError(f"The file cannot be read: {error.strerror}.") from None


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


def _read(file: BinaryIO, size: int) -> Header:
    if size == 0:
        raise ModelError("The file is empty.")
    start = file.read(64)
    file.seek(0)
    if start.startswith(b"GGUF"):
        return _read_gguf(file, size)
    # Asked first, for eight bytes of length may begin like a pickle: 640 is written 80 02 00 ...
    if start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] + 8 <= size:
        return _read_safetensors(file, size)
    _refuse_others(start)
    if size < 8:
        raise ModelError(f"The file is only {size} bytes long.")
    return _read_safetensors(file, size)


def zipped(path: Path) -> bool:
    """Whether a pickle is of PyTorch's present format, a zip archive that can be checked before it is read."""
    with open_file(path) as file:
        return file.read(len(ZIP)) == ZIP


def _refuse_others(start: bytes) -> None:
    """Name what is no weights file of ours by its first bytes."""
    if start.startswith(ZIP):
        raise PickleFile(
            "This is a pickle file, which can run code when read. If you trust it: python -m studio models convert FILE --trust."
        )
    if start.startswith(OLD_PICKLES):
        raise PickleFile(
            "This is a pickle file, which can run code when read, and of the old kind, which cannot be checked first; "
            "fetch it as safetensors."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ModelError("This is a Git LFS pointer; the weights themselves were not fetched (git lfs pull).")
    if re.match(rb"(\xef\xbb\xbf)?\s*<[!?a-zA-Z]", start):
        raise ModelError("This is a web page saved under a model's name, perhaps a log-in page; download it again.")
    what = next((what for magic, what in OTHER_FORMATS.items() if start.startswith(magic)), None)
    if what:
        raise ModelError(f"This is {what}, whatever its name says, and holds no weights that are read here.")
    if len(start) >= 8 and not start.strip(b"\0"):
        raise ModelError("The file begins with nothing but zeros: its download was probably not finished.")
    if len(start) >= 8 and re.fullmatch(rb"[\t\r\n -~]+", start):
        raise ModelError("This is a text, perhaps an error message saved in place of the file; download it again.")


def _read_safetensors(file: BinaryIO, size: int) -> Header:
    (length,) = struct.unpack("<Q", file.read(8))
    first = file.read(1)
    if first != b"{":
        raise ModelError("This is no safetensors file: it does not start with a header.")
    if length > MAX_HEADER:
        raise ModelError(f"Its header claims {length:,} bytes; more than {MAX_HEADER >> 20} MiB is not believed.")
    if length + 8 > size:
        raise ModelError(f"The file is incomplete: its header alone has {length:,} bytes, the file {size:,}.")
    file.seek(8)
    table = _parsed(file.read(length))
    metadata = table.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelError("Its header is wrong at __metadata__: it holds more than words.")
    tensors, end = _checked(table)
    data = size - 8 - length
    if end > data:
        raise ModelError(f"The file is incomplete: expected {end + 8 + length:,} bytes, has {size:,}.")
    if end < data:
        raise ModelError(f"The file has {data - end:,} bytes that its header does not account for.")
    return Header("safetensors", tensors, metadata, size)


def _parsed(text: bytes) -> dict[str, Any]:
    """The header's table. Its size is judged before anything is built of it, so that a hostile one costs little."""
    quotes = text.count(b'"') - text.count(b'\\"')
    marks = text.count(b",") + text.count(b"[")
    if marks > MAX_MARKS and quotes <= MAX_MARKS:
        bare = _STRINGS.sub(b"", text)  # metadata may hold whole tables as words
        marks = bare.count(b",") + bare.count(b"[")
    if max(marks, quotes) > MAX_MARKS:
        raise ModelError(f"Its header names far more than {MAX_TENSORS:,} tensors, which is not believed.")
    try:
        table = from_json(text, allow_inf_nan=False)  # in half the time that json takes
        if not isinstance(table, dict) or text.count(b'"data_offsets"') != len(table) - ("__metadata__" in table):
            table = dict(json.loads(text.decode("utf-8"), object_pairs_hook=_unique))  # slower: a name may stand twice
    except (ValueError, RecursionError):
        raise ModelError("Its header is not valid JSON.") from None
    if len(table) - ("__metadata__" in table) > MAX_TENSORS:
        raise ModelError(f"Its header names {len(table):,} tensors; more than {MAX_TENSORS:,} are not believed.")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ModelError(f"Its header names {shown(next(n for n in names if names.count(n) > 1))!r} twice.")
    return table


def _checked(table: dict[str, Any]) -> tuple[dict[str, Tensor], int]:
    """The tensors and the end of the last one; offsets must follow on from each other without gap or overlap."""
    spans = []
    tensors = {}
    for name, entry in table.items():
        tensor, begin = _tensor(name, entry)
        tensors[name] = tensor
        spans.append((begin, begin + tensor.bytes, name))
    end = 0
    for begin, stop, name in sorted(spans):
        if begin != end:
            raise ModelError(f"Its header is wrong: the data of {shown(name)!r} overlaps another's or leaves a gap.")
        end = stop
    return tensors, end


def _tensor(name: str, entry: Any) -> tuple[Tensor, int]:
    """The tensor and where its data begins. Runs millions of times in a scan of many files."""
    try:
        dtype, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ModelError(f"Its header is wrong at {shown(name)!r}.") from None
    if type(dtype) is not str or dtype not in BITS:
        raise ModelError(f"Its header is wrong at {shown(name)!r}: dtype {shown(str(dtype), 20)} is not known.")
    whole = type(shape) is list and len(shape) <= MAX_RANK and type(begin) is int and type(stop) is int and begin >= 0
    bits = BITS[dtype]
    for number in shape if whole else ():
        if type(number) is not int or not 0 <= number < MAX_NUMBER:
            whole = False
            break
        bits *= number
    if not whole or not stop < MAX_NUMBER:
        raise ModelError(f"Its header is wrong at {shown(name)!r}: its shape or place is no row of whole numbers.")
    if stop - begin != (bits + 7) // 8:
        raise ModelError(f"Its header is wrong: {shown(name)!r} of shape {shape} does not fill its bytes.")
    return Tensor(dtype, tuple(shape), stop - begin), begin


def shown(name: str, most: int = 80) -> str:
    """Words of a file, as they may stand in a sentence: short, and without anything that is not to be seen."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def readable(name: str) -> str:
    """A file's name as text of one line: bytes that are no UTF-8, controls, and marks that turn the direction become U+FFFD."""
    if name.isprintable():
        return name
    return "".join("\ufffd" if unicodedata.category(letter) in UNSEEN or letter in TURNS else letter for letter in name)


# GGUF: magic, version, tensor count, key-value count, key-values, the tensors' entries, then, aligned, their data.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_GGUF_SHAPE = "comfy.gguf.orig_shape."  # key-value: a tensor's shape before it was rearranged
_MOST_WORDS = 500_000  # in arrays of strings: a large vocabulary has 256,000
# type number -> (name, weights in a block, bytes of a block), as ggml lays them out
_GGML_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
}  # fmt: skip
_ENDS_EARLY = "The GGUF file is incomplete or damaged: its header ends early."


class _Gguf:
    """Reads the pieces of a GGUF header, and never more than a header may have."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.words = 0

    def take(self, count: int) -> bytes:
        if count > MAX_HEADER or self.file.tell() + count > MAX_HEADER:
            raise ModelError(f"Its header runs past {MAX_HEADER >> 20} MiB, which is not believed.")
        data = self.file.read(count)
        if len(data) < count:
            raise ModelError(_ENDS_EARLY)
        return data

    def unpack(self, code: str) -> tuple[Any, ...]:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))

    def string(self) -> str:
        try:
            return self.take(*self.unpack("Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise ModelError(_ENDS_EARLY) from None

    def value(self) -> Any:
        """A string, a number, or a shape; None for any longer array, which is passed over."""
        (kind,) = self.unpack("I")
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.unpack(self.code(kind))[0]
        element, length = self.unpack("IQ")
        if element != _STRING:
            code = self.code(element)
            data = self.take(struct.calcsize("<" + code) * length)
            return struct.unpack(f"<{length}{code}", data) if length <= MAX_RANK else None
        self.words += length
        if self.words > _MOST_WORDS:
            raise ModelError(f"Its header holds lists of more than {_MOST_WORDS:,} words, which is not believed.")
        for _ in range(length):
            self.take(*self.unpack("Q"))
        return None

    def code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise ModelError(f"Its header is wrong: there is no kind of value {kind} in GGUF.")
        return _SCALARS[kind]

    def tensor(self) -> tuple[str, Tensor, int]:
        """(name, tensor, where its data ends after the start of all data; 0 if its type is not known)."""
        name = self.string()
        (rank,) = self.unpack("I")
        if rank > MAX_RANK:
            raise ModelError(f"Its header is wrong at {shown(name)!r}.")
        shape = self.unpack(f"{rank}Q")[::-1]
        kind, offset = self.unpack("IQ")
        dtype, weights, size = _GGML_TYPES.get(kind, (f"type{kind}", 1, 0))
        count = -(-math.prod(shape) // weights) * size
        if max(count, offset) > MAX_NUMBER:
            raise ModelError(f"Its header is wrong at {shown(name)!r}: it is larger than any disk.")
        return name, Tensor(dtype, tuple(shape), count), offset + count if size else 0


def _read_gguf(file: BinaryIO, size: int) -> Header:
    reader = _Gguf(file)
    reader.take(4)
    version, count, pairs = reader.unpack("IQQ")
    if version not in (2, 3) or count > MAX_TENSORS or pairs > 10_000:
        raise ModelError(f"GGUF version {version} with {count:,} tensors is not read here.")
    values = {reader.string(): reader.value() for _ in range(pairs)}
    tensors: dict[str, Tensor] = {}
    end = 0
    for _ in range(count):
        name, tensor, stop = reader.tensor()
        if name in tensors:
            raise ModelError(f"Its header names {shown(name)!r} twice.")
        tensors[name], end = tensor, max(end, stop)
    align = values.get("general.alignment")
    align = align if type(align) is int and 0 < align <= 1 << 16 else 32
    expected = -(-file.tell() // align) * align + end
    if expected > size:
        raise ModelError(f"The file is incomplete: expected {expected:,} bytes, has {size:,}.")
    for name, tensor in tensors.items():
        tensors[name] = _shaped(tensor, values.get(_GGUF_SHAPE + name))
    words = {key: value for key, value in values.items() if isinstance(value, str)}
    return Header("gguf", tensors, words, size)


def _shaped(tensor: Tensor, shape: Any) -> Tensor:
    """The tensor under the shape that it had before its numbers were rearranged to fill blocks."""
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or math.prod(shape) != math.prod(tensor.shape):
        return tensor
    return Tensor(tensor.dtype, shape, tensor.bytes)
