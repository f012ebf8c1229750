"""Reads what a weights file says of itself: names, shapes and dtypes of its tensors, from a few kilobytes at its start.

Nothing is believed that the file's size does not bear out. Never reads a tensor, never unpickles, imports no torch.
Knows file formats; refuses to know models (`sniff` does).
"""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from studio.core.errors import ModelError
from studio.manager.disk.gguf_header import read_gguf
from studio.manager.disk.header_values import (
    MAX_HEADER,
    MAX_NUMBER,
    MAX_RANK,
    MAX_TENSORS,
    Header,
    Tensor,
    check_names,
    open_file,
    readable,
    shown,
)

__all__ = [
    "MAX_HEADER", "MAX_TENSORS", "Header", "PickleFile", "Tensor", "open_file", "read_header", "readable", "shown", "zipped",
]  # fmt: skip

MAX_MARKS = 1_000_000  # of one sort: a tensor's entry has about ten
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
ZIP = b"PK\x03\x04"
OLD_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
OTHER_FORMATS = {
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"RIFF": "a picture or a sound", b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"%PDF": "a PDF", b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file of Keras or TensorFlow",
}  # fmt: skip
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class PickleFile(ModelError):
    """The file is a pickle, whatever its suffix says: reading it could run code, so it is not read."""


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


def _read(file: BinaryIO, size: int) -> Header:
    if size == 0:
        raise ModelError("The file is empty.")
    start = file.read(64)
    file.seek(0)
    if start.startswith(b"GGUF"):
        return read_gguf(file, size)
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
    check_names(table)
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
