"""Reads the weights of a component from its files: mapped where they can stay as they are, else copied tensor by tensor.

What is cast, or laid out anew, is read into memory of its own rather than through a mapping, whose touched pages would
count beside the copy for as long as the file stays mapped. Knows files and tensors; refuses to know modules.
"""

import json
import struct
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from studio.core.errors import ModelError
from studio.manager.disk.headers import read_header

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Place(NamedTuple):
    """Where a tensor stands in its file. `dtype` as the format spells it."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


def places(opened: FileIO) -> dict[str, Place]:
    """Every tensor of a safetensors file that `read_header` has judged."""
    (length,) = struct.unpack("<Q", opened.read(8))
    table = json.loads(opened.read(length))
    table.pop("__metadata__", None)
    return {
        name: Place(entry["dtype"], tuple(entry["shape"]), 8 + length + begin, end - begin)
        for name, entry in table.items()
        for begin, end in [entry["data_offsets"]]
    }


def read_weights(
    files: tuple[Path, ...], dtype: torch.dtype, device: torch.device, channels_last: bool
) -> dict[str, torch.Tensor]:
    """Every tensor of the files on `device`; floating ones in `dtype`, kernels of convolutions laid out as wished.

    Raises ModelError and OSError.
    """
    out: dict[str, torch.Tensor] = {}
    for file in files:
        read_header(file)
        with file.open("rb", buffering=0) as opened:
            found = places(opened)
            copied = {
                name
                for name, place in found.items()
                if device.type == "cpu" and place.dtype in DTYPES and _changes(place, dtype, channels_last)
            }
            mapped = load_file(file, str(device)) if len(copied) < len(found) else {}
            # One for all, for small holes between the copies would never be given back.
            scratch = torch.empty(max((found[name].bytes for name in copied), default=0), dtype=torch.uint8)
            for name, place in found.items():
                tensor = _read(opened, place, scratch) if name in copied else mapped[name]
                out[name] = _as_wished(tensor, dtype, channels_last, copy=name in copied)
    return out


def _changes(place: Place, dtype: torch.dtype, channels_last: bool) -> bool:
    return DTYPES[place.dtype] != dtype or (channels_last and len(place.shape) == 4)


def _read(opened: FileIO, place: Place, scratch: torch.Tensor) -> torch.Tensor:
    """A tensor as the file has it, in `scratch`: until the next is read."""
    view = memoryview(scratch.numpy())[: place.bytes]
    opened.seek(place.offset)
    done = 0
    while done < place.bytes:
        got = opened.readinto(view[done:])
        if not got:
            raise ModelError("The file ends early.")
        done += got
    return scratch[: place.bytes].view(DTYPES[place.dtype]).view(place.shape)


def _as_wished(tensor: torch.Tensor, dtype: torch.dtype, channels_last: bool, *, copy: bool) -> torch.Tensor:
    # `to`, as modules do it: `contiguous` leaves a 1x1 kernel's strides as they are, and another kernel would run.
    layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.preserve_format
    return tensor.to(dtype if tensor.is_floating_point() else None, memory_format=layout, copy=copy)
