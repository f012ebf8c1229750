"""Every packing of GGUF that the gguf package can unpack goes through our conversion to the bit; the others are named."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from studio.core.errors import ModelError
from studio.manager.conversion.weights_file import Piece, WeightsFile, write_pieces
from studio.manager.disk.describe import describe
from studio.manager.disk.headers import _GGML_TYPES, UNPACKED, read_header

KINDS = gguf.GGMLQuantizationType
ROWS, BLOCKS = 12, 3
# packing -> where its blocks keep half-precision scales; the rest of a block may be any bytes
SCALES: dict[str, tuple[int, ...]] = {
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,), "IQ3_XXS": (0,), "IQ3_S": (0,),
    "IQ1_S": (0,), "TQ1_0": (52,), "TQ2_0": (64,), "IQ1_M": (), "MXFP4": (), "NVFP4": (),
}  # fmt: skip
PLAIN = {"F32", "F16", "BF16"}


def blocks(name: str, rows: int = ROWS) -> np.ndarray[Any, Any]:
    """(rows, bytes of a row) of blocks at random, whose scales are those of real weights."""
    random = np.random.default_rng(sorted(SCALES).index(name))
    size = gguf.GGML_QUANT_SIZES[KINDS[name]][1]
    data = random.integers(0, 256, (rows * BLOCKS, size), dtype=np.uint8)
    for place in SCALES[name]:
        scales = random.uniform(0.002, 0.05, rows * BLOCKS).astype(np.float16)
        data[:, place : place + 2] = scales.view(np.uint8).reshape(-1, 2)
    if name == "IQ1_M":  # its scale is strewn over the high bits of four others; this is the highest
        data[:, 55] = data[:, 55] & 0x0F | 0x20
    if name == "MXFP4":  # a power of two
        data[:, 0] = random.integers(118, 124, rows * BLOCKS)
    if name == "NVFP4":  # small floats without a sign
        data[:, :4] &= 0x3F
    return data.reshape(rows, -1)


def written(file: Path, tensors: dict[str, tuple[np.ndarray[Any, Any], Any]], **shapes: tuple[int, ...]) -> Path:
    writer = gguf.GGUFWriter(file, "flux")
    for key, shape in shapes.items():
        writer.add_array(f"comfy.gguf.orig_shape.{key}", list(shape))
    for key, (data, kind) in tensors.items():
        writer.add_tensor(key, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_the_table_of_packings_is_the_package_s() -> None:
    ours = {number: row for number, row in _GGML_TYPES.items() if row[0] != "Q8_1"}  # theirs is not as ggml has it
    theirs = {int(kind): (kind.name, *size) for kind, size in gguf.GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}
    assert ours == theirs
    assert {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q5_0", "Q5_1", "IQ4_NL"} < SCALES.keys()
    assert SCALES.keys() | PLAIN == UNPACKED


# K-quants, the legacy ones, and one with a table; the sweep has all.
EVERY = [pytest.param(name, marks=() if name in ("Q4_K", "Q8_0", "IQ4_NL") else pytest.mark.sweep) for name in SCALES]


@pytest.mark.parametrize("name", EVERY)
def test_a_packing_is_unpacked_to_the_bit(name: str, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    data = blocks(name)
    wanted = gguf.quants.dequantize(data, KINDS[name])
    assert np.isfinite(wanted).all() and wanted.std() > 1e-4
    width = wanted.shape[1]
    file = written(tmp_path / "x.gguf", {"qkv": (data, KINDS[name]), "norm": (wanted[0].copy(), None)})
    header = read_header(file)
    assert header.tensors["qkv"][:3] == (name, (ROWS, width), data.size)
    pieces = [Piece(part, (ROWS // 3, width), "qkv", ROWS // 3 * place) for place, part in enumerate("qkv")]
    pieces += [Piece("swapped", (ROWS, width), "qkv", swapped=True), Piece("norm", (width,), "norm")]
    write_pieces(tmp_path / "x.safetensors", pieces, WeightsFile(file).read, torch.float32)
    made = {key: tensor.numpy() for key, tensor in load_file(tmp_path / "x.safetensors").items()}
    assert np.array_equal(np.concatenate([made[part] for part in "qkv"]), wanted)
    assert np.array_equal(made["swapped"], np.concatenate([wanted[ROWS // 2 :], wanted[: ROWS // 2]]))
    assert np.array_equal(made["norm"], wanted[0])


@pytest.mark.parametrize("name", ["Q4_K", "Q5_0", "IQ4_NL"])
def test_a_convolution_that_was_rearranged_gets_its_shape_back(name: str, tmp_path: Path) -> None:
    data = blocks(name, rows=9)
    wanted = gguf.quants.dequantize(data, KINDS[name])
    shape = (wanted.size // (16 * 3 * 3), 16, 3, 3)
    file = written(tmp_path / "x.gguf", {"conv": (data, KINDS[name])}, conv=shape)
    weights = WeightsFile(file)
    assert weights.tensors["conv"].shape == shape
    assert np.array_equal(weights.read("conv").numpy(), wanted.reshape(shape))
    assert np.array_equal(weights.read("conv", 2, 3).numpy(), wanted.reshape(shape)[2:5])


@pytest.mark.parametrize("name", ["Q8_K", "Q1_0"])
def test_a_packing_that_is_not_read_is_named_at_once(name: str, tmp_path: Path) -> None:
    _, size = gguf.GGML_QUANT_SIZES[KINDS[name]]
    norm = np.ones(128, np.float32)
    tensors = {
        "double_blocks.0.img_attn.norm.key_norm.scale": (norm, None),
        "img_in.weight": (np.ones((64, 64), np.float32), None),
        "vector_in.in_layer.weight": (norm.reshape(2, 64), None),
        "double_blocks.0.img_attn.qkv.weight": (np.zeros((2, size), np.uint8), KINDS[name]),
    }
    file = written(tmp_path / "flux.gguf", tensors)
    info = describe(file, "flux")
    assert (info.kind, info.family) == ("gguf", "flux")
    assert (
        info.problem
        == f"Its weights are quantised as {name}, which is not supported; fetch the fp16, bf16, fp8 or another GGUF file."
    )
    with pytest.raises(ModelError, match=f"holds {name}, a packing that is not read"):
        WeightsFile(file).read("double_blocks.0.img_attn.qkv.weight")


def test_a_packing_that_nobody_knows_is_named_too(tmp_path: Path) -> None:
    wide = (np.ones((64, 64), np.float32), None)
    norm = {"double_blocks.0.img_attn.norm.key_norm.scale": (np.ones(128, np.float32), None)}
    file = written(tmp_path / "flux.gguf", norm | {"img_in.weight": wide, "vector_in.in_layer.weight": wide})
    data = file.read_bytes()
    at = data.index(b"img_in.weight") + len("img_in.weight") + 4 + 2 * 8
    file.write_bytes(data[:at] + (77).to_bytes(4, "little") + data[at + 4 :])
    info = describe(file, "flux")
    assert (
        info.problem
        == "Its weights are quantised as type77, which is not supported; fetch the fp16, bf16, fp8 or another GGUF file."
    )
    with pytest.raises(ModelError, match="cannot be read as GGUF"):
        WeightsFile(file)
