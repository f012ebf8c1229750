"""Reads what a weights file says of itself: names, shapes and dtypes of its tensors, from its safetensors or GGUF header.

Every number must agree with the file's size, and work and memory are bounded before anything is built. Never reads a
tensor, never unpickles, imports no torch, and knows no model (`sniff` does).
"""

import math
import os
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic_core import from_json

from studio.core.errors import ModelError
from studio.manager.disk.safe_files import open_file, shown

MAX_HEADER = 32 << 20
MAX_TENSORS = 50_000
MAX_MARKS = 1_000_000  # commas and brackets; a tensor's entry has about ten
MAX_RANK = 16
MAX_NUMBER = 1 << 63
MAX_NAME = 512  # letters of a tensor's name
MAX_NAMES = 8 << 20  # of all names together
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
SPELLED = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}  # as the request spells them
ZIP = b"PK\x03\x04"
# Protocols 2 to 5 begin with their number; 0 and 1 with a dictionary, a list, a class, or PyTorch's own number.
OLD_PICKLE = re.compile(
    rb"\x80[\x02-\x05]|\([dl]p?\d*\n|[}\]]q.|\(?c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|L119547037146038801333356L\n"
)

# GGUF: kinds of values, and type number -> (name, weights in a block, bytes of a block) as ggml lays them out
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_GGML_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
# Those that the gguf package unpacks, with which weights are read.
UNPACKED = frozenset(name for name, *_ in _GGML_TYPES.values()) - {"Q8_1", "Q8_K", "Q1_0", "I8", "I16", "I32", "I64", "F64"}  # fmt: skip
_GGUF_SHAPE = "comfy.gguf.orig_shape."  # key-value: a tensor's shape before it was rearranged to fill blocks
_MAX_STRINGS = 500_000  # in lists of strings: a large vocabulary has 256,000


class PickleFile(ModelError):
    """The file is a pickle, whatever its suffix says: reading it could run code, so it is not read."""


class Tensor(NamedTuple):
    """One tensor's entry: dtype as safetensors (or GGUF) names it, shape in PyTorch's order, bytes in the file, and where in
    a safetensors file they begin."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int = 0


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


def zipped(path: Path) -> bool:
    """Whether a pickle is in PyTorch's present format, a zip archive that can be checked before it is read."""
    with open_file(path) as file:
        return file.read(len(ZIP)) == ZIP


def _read(file: BinaryIO, size: int) -> Header:
    if size == 0:
        raise ModelError("The file is empty.")
    start = file.read(64)
    file.seek(0)
    if start.startswith(b"GGUF"):
        return _read_gguf(file, size)
    # Asked first, for eight bytes of length may begin like a pickle: 640 is written 80 02 00 ...
    if not (start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] + 8 <= size):
        _refuse_others(start)
    if size < 8:
        raise ModelError(f"The file is only {size} bytes long.")
    return _read_safetensors(file, size)


def _refuse_others(start: bytes) -> None:
    """Name the common things that are saved under a model's name, by their first bytes."""
    if start.startswith(ZIP):
        raise PickleFile(
            "This is a pickle file, which can run code when read. If you trust it: python -m studio models convert FILE --trust."
        )
    if OLD_PICKLE.match(start):
        raise PickleFile(
            "This is a pickle file, which can run code when read, and in the old format, which cannot be checked first; "
            "fetch it as safetensors."
        )
    if start.startswith(b"version https://git-lfs"):
        raise ModelError("This is a Git LFS pointer; the weights themselves were not fetched (git lfs pull).")
    if re.match(rb"(\xef\xbb\xbf)?\s*<[!?a-zA-Z]", start):
        raise ModelError("This is a web page saved under a model's name, perhaps a log-in page; download it again.")
    if len(start) >= 8 and not start.strip(b"\0"):
        raise ModelError("The file begins with nothing but zeros: its download was probably not finished.")


# ---- safetensors: eight bytes of length, a JSON object, data ---------------------------------------------------------


def _read_safetensors(file: BinaryIO, size: int) -> Header:
    (length,) = struct.unpack("<Q", file.read(8))
    if file.read(1) != b"{":
        raise ModelError("This is not a safetensors file: it does not start with a header.")
    if length > MAX_HEADER:
        raise ModelError(f"Its header claims {length:,} bytes, which is implausible (limit {MAX_HEADER >> 20} MiB).")
    if length + 8 > size:
        raise ModelError(f"The file is incomplete: its header alone has {length:,} bytes, the file {size:,}.")
    file.seek(8)
    table = _parsed(file.read(length))
    metadata = table.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelError("Its header is wrong at __metadata__: it holds more than words.")
    _check_names(table)
    tensors = {name: _tensor(name, entry, 8 + length) for name, entry in table.items()}
    end = 8 + length
    for (begin, length), name in sorted(((tensor.offset, tensor.bytes), name) for name, tensor in tensors.items()):
        if begin != end:
            raise ModelError(f"Its header is wrong: the data of {shown(name)!r} overlaps another's or leaves a gap.")
        end += length
    if end > size:
        raise ModelError(f"The file is incomplete: expected {end:,} bytes, has {size:,}.")
    if end < size:
        raise ModelError(f"The file has {size - end:,} bytes that its header does not account for.")
    return Header("safetensors", tensors, metadata, size)


def _parsed(text: bytes) -> dict[str, Any]:
    """The header's table. Its size is judged before anything is built of it, so that a hostile one costs little."""
    if max(text.count(b",") + text.count(b"["), text.count(b'"')) > MAX_MARKS:
        raise ModelError(f"Its header names far more than {MAX_TENSORS:,} tensors; the file is corrupt.")
    try:
        table = from_json(text, allow_inf_nan=False)  # in half the time that json takes
    except ValueError:
        raise ModelError("Its header is not valid JSON.") from None
    if not isinstance(table, dict) or len(table) - ("__metadata__" in table) > MAX_TENSORS:
        raise ModelError(f"Its header names {len(table):,} tensors, which is implausible (limit {MAX_TENSORS:,}).")
    return table


def _check_names(names: Collection[str]) -> None:
    """Refuse names that no network has, since searching them takes time by their length. Raises ModelError."""
    longest = max(names, key=len, default="")
    if len(longest) > MAX_NAME or sum(map(len, names)) > MAX_NAMES:
        raise ModelError(f"Its header gives its tensors implausibly long names, such as {shown(longest)!r}.")


def _tensor(name: str, entry: Any, start: int) -> Tensor:
    """`start` is where all data begins. Runs millions of times in a scan of many files."""
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
        raise ModelError(f"Its header is wrong at {shown(name)!r}: its shape or its offsets are not whole numbers.")
    if stop - begin != (bits + 7) // 8:
        raise ModelError(f"Its header is wrong: {shown(name)!r} of shape {shape} does not fill its bytes.")
    return Tensor(dtype, tuple(shape), stop - begin, start + begin)


# ---- GGUF: magic, version, counts, key-values, the tensors' entries, then, aligned, their data -----------------------


class _Gguf:
    """Reads the pieces of a GGUF header, and never more than a header may have."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.strings = 0

    def take(self, count: int) -> bytes:
        if count > MAX_HEADER or self.file.tell() + count > MAX_HEADER:
            raise ModelError(f"Its header runs past {MAX_HEADER >> 20} MiB, which is implausible.")
        data = self.file.read(count)
        if len(data) < count:
            raise ModelError("The GGUF file is incomplete or damaged: its header ends early.")
        return data

    def unpack(self, code: str) -> tuple[Any, ...]:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))

    def string(self) -> str:
        try:
            return self.take(*self.unpack("Q")).decode("utf-8")
        except UnicodeDecodeError:
            raise ModelError("The GGUF file is damaged: its header holds invalid text.") from None

    def value(self) -> Any:
        """A string, a number, or a shape; None for any longer array, which is skipped."""
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
        self.strings += length
        if self.strings > _MAX_STRINGS:
            raise ModelError(f"Its header holds lists of more than {_MAX_STRINGS:,} strings, which is implausible.")
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
        raise ModelError(f"GGUF version {version} with {count:,} tensors is not supported.")
    values = {reader.string(): reader.value() for _ in range(pairs)}
    tensors: dict[str, Tensor] = {}
    end = 0
    for _ in range(count):
        name, tensor, stop = reader.tensor()
        if name in tensors:
            raise ModelError(f"Its header names {shown(name)!r} twice.")
        tensors[name], end = _shaped(tensor, values.get(_GGUF_SHAPE + name)), max(end, stop)
    _check_names(tensors)
    align = values.get("general.alignment")
    align = align if type(align) is int and 0 < align <= 1 << 16 else 32
    expected = -(-file.tell() // align) * align + end
    if expected > size:
        raise ModelError(f"The file is incomplete: expected {expected:,} bytes, has {size:,}.")
    return Header("gguf", tensors, {key: value for key, value in values.items() if isinstance(value, str)}, size)


def _shaped(tensor: Tensor, shape: Any) -> Tensor:
    """The tensor under the shape that it had before its numbers were rearranged to fill blocks."""
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or math.prod(shape) != math.prod(tensor.shape):
        return tensor
    return Tensor(tensor.dtype, shape, tensor.bytes)
