"""Tensors of weights files by name, a few rows at a time, whatever they are packed as; and a writer as sparing.

Reads safetensors (8-bit floats with their scales too) and GGUF, the latter through the gguf package. A file is checked
by its header before it is opened. Memory held at any time is one tensor's, so that a denoiser of 24 GB can be
rewritten on a machine of 8.
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.conversion.naming import Piece
from studio.manager.disk.headers import Tensor, read_header, readable

NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
SCALES = ("scale_weight", "weight_scale")  # beside an 8-bit `weight`: what to multiply it with


class WeightsFile:
    """One file, open for reading. `tensors` is its header's; close it, or use it in a `with`."""

    def __init__(self, path: Path):
        header = read_header(path)
        self.path = path
        self.tensors: dict[str, Tensor] = header.tensors
        self._read: Callable[[str, int, int], Any]
        if header.format == "gguf":
            self._read = _gguf_reader(path, self.tensors)
        else:
            from safetensors import safe_open

            self._opened: Any = safe_open(path, framework="pt")
            self._read = self._read_rows

    def __enter__(self) -> "WeightsFile":
        return self

    def __exit__(self, *error: Any) -> None:
        self._read = _closed
        self._opened = None

    def shapes(self, prefix: str = "") -> dict[str, tuple[int, ...]]:
        """Name without `prefix` -> shape, of the tensors that have it."""
        return {key.removeprefix(prefix): t.shape for key, t in self.tensors.items() if key.startswith(prefix)}

    def read(self, key: str, start: int = 0, rows: int | None = None) -> Any:
        """Rows of a tensor, as floats of whatever width they come to. Raises ModelError for a packing not known here."""
        shape = self.tensors[key].shape
        return self._read(key, start, start + rows if rows is not None else (shape[0] if shape else 0))

    def _read_rows(self, key: str, start: int, stop: int) -> Any:
        import torch

        dtype, shape = self.tensors[key].dtype, self.tensors[key].shape
        if dtype not in FLOATS:
            raise ModelError(
                f"{readable(self.path.name)} is quantised in a way that is not read here ({dtype} at {key[:80]})."
            )
        if not shape or (start == 0 and stop == shape[0]):
            tensor = self._opened.get_tensor(key)
        else:
            tensor = self._opened.get_slice(key)[start:stop]
        scale = next((name for word in SCALES if (name := _beside(key, word)) in self.tensors), None)
        if dtype.startswith("F8") and scale:
            return tensor.to(torch.float32) * self._scale(scale, shape, start, stop)
        return tensor

    def _scale(self, key: str, shape: tuple[int, ...], start: int, stop: int) -> Any:
        """What rows of an 8-bit weight are multiplied with: one number, or one for each row. Raises ModelError for others."""
        import torch

        scale = self._opened.get_tensor(key).to(torch.float32)
        if scale.numel() == 1:
            return scale.reshape(())
        if scale.shape[0] == scale.numel() == shape[0]:
            return scale[start:stop].reshape(-1, *(1 for _ in shape[1:]))
        raise ModelError(
            f"{readable(self.path.name)} is quantised in a way that is not read here (blocks at {key[:80]})."
        )


def _beside(key: str, word: str) -> str:
    return f"{key.rpartition('.')[0]}.{word}" if key.endswith(".weight") else ""


def _closed(key: str, start: int, stop: int) -> Any:
    raise RuntimeError("the weights file is closed")


def _gguf_reader(path: Path, tensors: dict[str, Tensor]) -> Callable[[str, int, int], Any]:
    """Quantised rows come out in float32."""
    import gguf
    import torch

    try:
        found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    except (ValueError, KeyError, IndexError) as error:
        raise ModelError(f"{readable(path.name)} cannot be read as GGUF: {str(error)[:120]}.") from None

    def read(key: str, start: int, stop: int) -> Any:
        tensor, shape = found[key], tensors[key].shape
        # Blocks lie along the last side, so rows can be taken apart before unpacking; unless they were rearranged.
        by_rows = len(shape) > 1 and tuple(int(n) for n in reversed(tensor.shape)) == shape
        packed = tensor.data[start:stop] if by_rows else tensor.data
        try:
            plain = gguf.quants.dequantize(packed, tensor.tensor_type)
        except NotImplementedError:
            raise ModelError(
                f"{readable(path.name)} holds {tensor.tensor_type.name}, a packing that is not read here."
            ) from None
        whole = torch.from_numpy(plain.copy()).reshape(-1)
        return whole.reshape(stop - start, *shape[1:]) if by_rows else whole.reshape(shape)[start:stop]

    return read


def write_pieces(
    target: Path,
    pieces: list[Piece],
    read: Callable[[str, int, int], Any],  # (source, start, rows) -> tensor
    dtype: Any,  # torch.dtype
    wrote: Callable[[int], None] = lambda size: None,
) -> None:
    """A safetensors file of the pieces in `dtype`, written through from one tensor to the next. Raises OSError."""
    import torch

    item = dtype.itemsize
    with target.open("wb") as out:
        out.write(_header(pieces, NAMES[str(dtype).removeprefix("torch.")], item))
        for piece in pieces:
            if piece.source is None:
                tensor = torch.eye(piece.shape[0])
            else:
                tensor = read(piece.source, piece.start, piece.shape[0] if piece.shape else 0)
            if piece.swapped:
                tensor = torch.cat(tensor.chunk(2)[::-1])
            tensor = tensor.reshape(-1).to(dtype).contiguous()
            out.write(memoryview(tensor.view(torch.uint8).numpy()))
            wrote(math.prod(piece.shape) * item)


def _header(pieces: Iterable[Piece], dtype: str, item: int) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for piece in pieces:
        size = math.prod(piece.shape) * item
        table[piece.name] = {"dtype": dtype, "shape": list(piece.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text
