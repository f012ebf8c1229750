"""Weights files, read by a tensor's name and a few rows at a time, and written from one tensor to the next.

Reads safetensors, 8-bit floats with their scales included, and GGUF. Never more than one tensor is in memory, so that a
denoiser of 24 GB can be rewritten on a machine of 8.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import read_header
from studio.manager.disk.safe_files import readable

Read = Callable[[str, int, int], Any]  # (tensor, first row, number of rows) -> those rows
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
SCALES = ("scale_weight", "weight_scale")  # beside an 8-bit `weight`: what to multiply it with


@dataclass(frozen=True)
class Piece:
    """One tensor to be written: `shape[0]` rows of `source` from `start` on; halves exchanged where `swapped`."""

    name: str
    shape: tuple[int, ...]
    source: str | None  # None: an identity matrix
    start: int = 0
    swapped: bool = False


class WeightsFile:
    """One file, mapped for as long as this is kept. `tensors` is its header's. Raises ModelError."""

    def __init__(self, path: Path):
        from safetensors import safe_open

        header = read_header(path)
        self.path, self.tensors = path, header.tensors
        self._gguf = _open_gguf(path) if header.format == "gguf" else None
        self._opened: Any = safe_open(path, framework="pt") if self._gguf is None else None

    def shapes(self, prefix: str = "") -> dict[str, tuple[int, ...]]:
        """Name without `prefix` -> shape, of the tensors that have it."""
        return {key.removeprefix(prefix): t.shape for key, t in self.tensors.items() if key.startswith(prefix)}

    def read(self, key: str, start: int = 0, rows: int | None = None) -> Any:
        """Rows of a tensor, as floats of whatever width they come to. Raises ModelError for a packing not known here."""
        shape = self.tensors[key].shape
        stop = start + rows if rows is not None else (shape[0] if shape else 0)
        read = self._read_gguf if self._gguf is not None else self._read_safetensors
        return read(key, shape, start, stop)

    def _read_safetensors(self, key: str, shape: tuple[int, ...], start: int, stop: int) -> Any:
        import torch

        dtype = self.tensors[key].dtype
        if dtype not in FLOATS:
            raise self._not_read(f"{dtype} at {key[:80]}")
        whole = not shape or (start == 0 and stop == shape[0])
        tensor = self._opened.get_tensor(key) if whole else self._opened.get_slice(key)[start:stop]
        beside = [f"{key.removesuffix('weight')}{word}" for word in SCALES if key.endswith(".weight")]
        named = next((name for name in beside if name in self.tensors), None)
        if named is None or not dtype.startswith("F8"):
            return tensor
        scale = self._opened.get_tensor(named).to(torch.float32)  # one number, or one for each row
        if scale.numel() == 1:
            scale = scale.reshape(())
        elif scale.shape[0] == scale.numel() == shape[0]:
            scale = scale[start:stop].reshape(-1, *(1 for _ in shape[1:]))
        else:
            raise self._not_read(f"blocks at {named[:80]}")
        return tensor.to(torch.float32) * scale

    def _read_gguf(self, key: str, shape: tuple[int, ...], start: int, stop: int) -> Any:
        """Quantised rows come out in float32."""
        import gguf
        import torch

        assert self._gguf is not None
        tensor = self._gguf[key]
        # Blocks lie along the last side, so rows can be taken apart before unpacking; unless they were rearranged.
        by_rows = len(shape) > 1 and tuple(int(n) for n in reversed(tensor.shape)) == shape
        try:
            plain = gguf.quants.dequantize(tensor.data[start:stop] if by_rows else tensor.data, tensor.tensor_type)
        except NotImplementedError:
            kind = tensor.tensor_type.name
            raise ModelError(f"{readable(self.path.name)} holds {kind}, a packing that is not read here.") from None
        unpacked = torch.from_numpy(plain.copy()).reshape(-1)
        return unpacked.reshape(stop - start, *shape[1:]) if by_rows else unpacked.reshape(shape)[start:stop]

    def _not_read(self, what: str) -> ModelError:
        return ModelError(f"{readable(self.path.name)} is quantised in a way that is not read here ({what}).")


def _open_gguf(path: Path) -> dict[str, Any]:
    import gguf

    try:
        return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(f"{readable(path.name)} cannot be read as GGUF: {str(error)[:120]}.") from None


def write_pieces(
    target: Path,
    pieces: list[Piece],
    read: Read,
    dtype: Any,  # torch.dtype
    wrote: Callable[[int], None] = lambda size: None,
) -> None:
    """A safetensors file of the pieces in `dtype`. Raises OSError."""
    import torch

    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for piece in pieces:
        begin, end = end, end + math.prod(piece.shape) * dtype.itemsize
        kind = NAMES[str(dtype).removeprefix("torch.")]
        table[piece.name] = {"dtype": kind, "shape": list(piece.shape), "data_offsets": [begin, end]}
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)  # tensors start at a multiple of eight bytes
    with target.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for piece in pieces:
            if piece.source is None:
                tensor = torch.eye(piece.shape[0])
            else:
                tensor = read(piece.source, piece.start, piece.shape[0] if piece.shape else 0)
            if piece.swapped:
                tensor = torch.cat(tensor.chunk(2)[::-1])
            tensor = tensor.reshape(-1).to(dtype).contiguous()
            out.write(memoryview(tensor.view(torch.uint8).numpy()))
            wrote(math.prod(piece.shape) * dtype.itemsize)
