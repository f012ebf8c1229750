"""Reads the header of a GGUF file, and never more than a header may have. Dequantises nothing.

Layout: magic, version, tensor count, key-value count, key-values, the tensors' entries, then, aligned, their data.
"""

import math
import struct
from typing import Any, BinaryIO

from studio.core.errors import ModelError
from studio.manager.disk.header_values import (
    MAX_HEADER,
    MAX_NUMBER,
    MAX_RANK,
    MAX_TENSORS,
    Header,
    Tensor,
    check_names,
    shown,
)

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_GGUF_SHAPE = "comfy.gguf.orig_shape."  # key-value: a tensor's shape before it was rearranged
_MOST_WORDS = 500_000  # in arrays of strings: a large vocabulary has 256,000
# type number -> (name, weights in a block, bytes of a block), as ggml lays them out
_GGML_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
# Those that the gguf package unpacks, by which weights are read.
UNPACKED = frozenset(name for name, *_ in _GGML_TYPES.values()) - {
    "Q8_1", "Q8_K", "Q1_0", "I8", "I16", "I32", "I64", "F64",
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


def read_gguf(file: BinaryIO, size: int) -> Header:
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
    check_names(tensors)
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
