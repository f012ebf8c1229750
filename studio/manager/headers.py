"""Reads what a weights file says of itself: names, shapes and dtypes of its tensors, from a few kilobytes at its start.

Nothing is believed that the file's size does not bear out. Never reads a tensor, never unpickles, imports no torch.
Knows file formats; refuses to know models (`sniff` does).
"""

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from studio.core.errors import ModelError

MAX_HEADER = 32 << 20
MAX_TENSORS = 50_000
MAX_RANK = 16
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4,
}  # fmt: skip
PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


class PickleFile(ModelError):
    """The file is a pickle, whatever its suffix says: reading it could run code, so it is not read."""


@dataclass(frozen=True)
class Tensor:
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
        return {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}.get(most, most.lower()) if most else None


def read_header(path: Path) -> Header:
    """The header of a safetensors or GGUF file; raises ModelError with the true reason, PickleFile for a pickle."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(file, size)
    except FileNotFoundError:
        raise ModelError("The file is no longer there.") from None
    except OSError as error:
        raise ModelError(f"The file cannot be read: {error.strerror}.") from None


def _read(file: BinaryIO, size: int) -> Header:
    if size == 0:
        raise ModelError("The file is empty.")
    start = file.read(64)
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ModelError("This is a web page saved under a model's name, perhaps a log-in page; download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError("This is a Git LFS pointer; the weights themselves were not fetched (git lfs pull).")
    if start.startswith(PICKLE_STARTS):
        raise PickleFile(
            "This is a pickle file, which can run code when read. If you trust it: python -m studio models convert FILE --trust."
        )
    if start.startswith(b"GGUF"):
        file.seek(0)
        return _read_gguf(file, size)
    if size < 8:
        raise ModelError(f"The file is only {size} bytes long.")
    file.seek(0)
    return _read_safetensors(file, size)


def _read_safetensors(file: BinaryIO, size: int) -> Header:
    (length,) = struct.unpack("<Q", file.read(8))
    first = file.read(1)
    if first != b"{":
        raise ModelError("This is no safetensors file: it does not start with a header.")
    if length > MAX_HEADER:
        raise ModelError(f"Its header claims {length:,} bytes; more than {MAX_HEADER >> 20} MiB is not believed.")
    if length + 8 > size:
        raise ModelError(f"The file is incomplete: its header alone has {length:,} bytes, the file {size:,}.")
    try:
        table = json.loads(first + file.read(length - 1))
    except (ValueError, RecursionError):
        raise ModelError("Its header is not valid JSON.") from None
    if not isinstance(table, dict):
        raise ModelError("Its header is not a table of tensors.")
    metadata = table.pop("__metadata__", None) or {}
    if len(table) > MAX_TENSORS:
        raise ModelError(f"Its header names {len(table):,} tensors; more than {MAX_TENSORS:,} are not believed.")
    tensors, end = _checked(table)
    data = size - 8 - length
    if end > data:
        raise ModelError(f"The file is incomplete: expected {end + 8 + length:,} bytes, has {size:,}.")
    if end < data:
        raise ModelError(f"The file has {data - end:,} bytes that its header does not account for.")
    words = {k: v for k, v in metadata.items() if isinstance(v, str)} if isinstance(metadata, dict) else {}
    return Header("safetensors", tensors, words, size)


def _checked(table: dict[str, Any]) -> tuple[dict[str, Tensor], int]:
    """The tensors and the end of the last one; offsets must follow on from each other without gap or overlap."""
    spans = []
    tensors = {}
    for name, entry in table.items():
        tensors[name], begin, stop = _tensor(name, entry)
        spans.append((begin, stop, name))
    end = 0
    for begin, stop, name in sorted(spans):
        if begin != end:
            raise ModelError(f"Its header is wrong: the data of {_short(name)} overlaps another's or leaves a gap.")
        end = stop
    return tensors, end


def _tensor(name: str, entry: Any) -> tuple[Tensor, int, int]:
    try:
        dtype, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise ModelError(f"Its header is wrong at {_short(name)}.") from None
    numbers = [*shape, begin, stop] if isinstance(shape, list) and len(shape) <= MAX_RANK else [-1]
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in numbers) or dtype not in BITS:
        raise ModelError(f"Its header is wrong at {_short(name)}: dtype {str(dtype)[:20]!r}.")
    if stop - begin != (math.prod(shape) * BITS[dtype] + 7) // 8:
        raise ModelError(f"Its header is wrong: {_short(name)} of shape {shape} does not fill its bytes.")
    return Tensor(dtype, tuple(shape), stop - begin), begin, stop


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "..."


# GGUF: magic, version, tensor count, key-value count, key-values, then the tensors' entries.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_GGML_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16",
}  # fmt: skip
_BITS_PER_WEIGHT = {
    "F32": 32, "F16": 16, "BF16": 16, "Q4_0": 4.5, "Q4_1": 5, "Q5_0": 5.5, "Q5_1": 6, "Q8_0": 8.5, "Q8_1": 9,
    "Q2_K": 2.625, "Q3_K": 3.4375, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625, "Q8_K": 9.125, "IQ4_NL": 4.5,
    "IQ4_XS": 4.25,
}  # fmt: skip


def _read_gguf(file: BinaryIO, size: int) -> Header:
    try:
        _, version, count, pairs = struct.unpack("<4sIQQ", file.read(24))
        if version not in (2, 3) or count > MAX_TENSORS or pairs > 10_000:
            raise ModelError(f"GGUF version {version} with {count:,} tensors is not read here.")
        metadata = {}
        for _ in range(pairs):
            key = _gguf_string(file)
            value = _gguf_value(file, *struct.unpack("<I", file.read(4)))
            if isinstance(value, str):
                metadata[key] = value
        return Header("gguf", dict(_gguf_tensor(file) for _ in range(count)), metadata, size)
    except (struct.error, UnicodeDecodeError, KeyError):
        raise ModelError("The GGUF file is incomplete or damaged: its header ends early.") from None


def _gguf_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > 1 << 20:
        raise KeyError(length)
    data = file.read(length)
    if len(data) < length:
        raise KeyError(length)
    return data.decode("utf-8")


def _gguf_value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _gguf_string(file)
    if kind != _ARRAY:
        code = "<" + _SCALARS[kind]
        return struct.unpack(code, file.read(struct.calcsize(code)))[0]
    element, length = struct.unpack("<IQ", file.read(12))
    if length > 1_000_000 or element == _ARRAY:
        raise KeyError(length)
    for _ in range(length):
        _gguf_value(file, element)
    return None


def _gguf_tensor(file: BinaryIO) -> tuple[str, Tensor]:
    name = _gguf_string(file)
    (rank,) = struct.unpack("<I", file.read(4))
    if rank > MAX_RANK:
        raise KeyError(rank)
    shape = struct.unpack(f"<{rank}Q", file.read(8 * rank))[::-1]
    kind, _offset = struct.unpack("<IQ", file.read(12))
    dtype = _GGML_TYPES.get(kind, f"type{kind}")
    return name, Tensor(dtype, tuple(shape), int(math.prod(shape) * _BITS_PER_WEIGHT.get(dtype, 32) / 8))
