"""Whether the numbers in a weights file are numbers, read from the file itself before anything in memory has moved.

Weights that hold NaN load without a word and paint black. A pass of minimum and maximum finds NaN, infinity and what
the run's dtype cannot hold; 2 GB take about a fifth of a second beyond reading them. A few megabytes are held at a time.
"""

import json
import struct
from pathlib import Path

import torch

from studio.core.errors import ModelError
from studio.manager.headers import read_header

CHUNK = 8 << 20
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def first_unsound(files: tuple[Path, ...], dtype: torch.dtype) -> tuple[str, bool] | None:
    """(tensor, whether it is only too large for `dtype`) of the first that cannot be used; None if all can. Raises ModelError."""
    limit = torch.finfo(dtype).max
    worst: tuple[str, bool] | None = None
    for file in files:
        for name, largest in _largest(file):
            if not largest < float("inf"):  # NaN compares false
                return name, False
            if largest > limit and worst is None:
                worst = name, True
    return worst


def _largest(file: Path) -> list[tuple[str, float]]:
    """The largest magnitude of each floating-point tensor; NaN where it holds one."""
    read_header(file)  # refuses what lies about itself
    buffer = bytearray(CHUNK)
    out = []
    try:
        with file.open("rb", buffering=0) as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            table = json.loads(opened.read(length))
            for name, entry in table.items():
                if name != "__metadata__" and entry["dtype"] in DTYPES:
                    begin, end = entry["data_offsets"]
                    opened.seek(8 + length + begin)
                    out.append((name, _magnitude(opened, end - begin, DTYPES[entry["dtype"]], buffer)))
    except OSError as error:
        raise ModelError(f"{file.parent.name}/{file.name} cannot be read: {error.strerror}.") from None
    return out


def _magnitude(opened: object, size: int, dtype: torch.dtype, buffer: bytearray) -> float:
    largest = torch.zeros((), dtype=dtype)
    view = memoryview(buffer)
    while size:
        got = opened.readinto(view[: min(size, CHUNK)])  # type: ignore[attr-defined]
        whole = got - got % dtype.itemsize
        if not whole:
            raise ModelError("The file ends early.")
        if whole < got:
            opened.seek(whole - got, 1)  # type: ignore[attr-defined]
        low, high = torch.aminmax(torch.frombuffer(buffer, dtype=dtype, count=whole // dtype.itemsize))
        largest = torch.maximum(largest, torch.maximum(-low, high))  # both hand NaN on
        size -= whole
    return float(largest)
