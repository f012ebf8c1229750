"""Every kind of file is known for what it is, by the header alone."""

import math
import os
import struct
from pathlib import Path

import pytest

from studio.manager.disk import attachments
from studio.manager.disk import sniff as rules
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.describe import describe
from studio.manager.disk.header_view import View
from studio.manager.disk.headers import Header, Tensor, read_header
from studio.manager.disk.sniff import STEMS, TRANSFORMERS, fitting, sniff
from tests.models.sparse_headers import CASES, Shapes, flux, unet, write_sparse, xl


def test_each_layout_is_known_by_its_header(tmp_path: Path) -> None:
    for case, (name, shapes, metadata, expected) in CASES.items():
        found = sniff(read_header(write_sparse(tmp_path / name, shapes, metadata=metadata)), name)
        assert (found.kind, found.family, found.variant, found.prediction) == expected, case


def header_of(shapes: Shapes) -> Header:
    return Header("safetensors", {key: Tensor("F16", shape, 0) for key, shape in shapes.items()})


def families_of(shapes: Shapes) -> set[str]:
    return {row.family for row, _ in fitting(View(header_of(shapes), "x.safetensors"))}


def test_no_two_families_fit_the_same_file() -> None:
    for row in TRANSFORMERS:
        for stem in STEMS:
            assert families_of({stem + key: (1, 1) for key in row.has}) == {row.family}
    for name, (_, shapes, _, expected) in CASES.items():
        families = families_of(shapes)
        assert len(families) <= 1, name
        if families:
            assert expected[1] in families, name
            assert rules.unet(View(header_of(shapes), "x")) is None, name


# What has the layers of a known family and is something else -> kind, family, variant, words of the problem
LOOKALIKES: dict[str, tuple[Shapes, tuple[str, str | None, str], str]] = {
    "LongCat-Image": (
        {
            "img_in.weight": (3072, 64), "txt_in.weight": (3072, 3584), "time_in.in_layer.weight": (3072, 256),
            "double_blocks.0.img_attn.norm.key_norm.scale": (128,), "single_blocks.0.norm.key_norm.scale": (128,),
        },
        ("unknown", None, ""), "Unrecognised model type",
    ),
    "Hunyuan3D 2": (
        {
            "latent_in.weight": (1024, 64), "cond_in.weight": (1024, 1536), "time_in.in_layer.weight": (1024, 256),
            "double_blocks.0.img_attn.norm.key_norm.scale": (64,), "single_blocks.0.norm.key_norm.scale": (64,),
        },
        ("unknown", None, ""), "Unrecognised model type",
    ),
    "Stable Zero123": (
        unet(768, 8) | {"cc_projection.weight": (768, 772), "cc_projection.bias": (768,)}, ("unknown", None, ""), "Zero123",
    ),
    "FLUX.1's Control LoRA": (
        {
            "transformer.x_embedder.lora_A.weight": (128, 128), "transformer.x_embedder.lora_B.weight": (3072, 128),
            "transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (128, 3072),
        },
        ("controlnet", "flux", "control-lora"), "",
    ),
    "the same in its publisher's naming": (
        {
            "img_in.lora_A.weight": (128, 128), "img_in.lora_B.weight": (3072, 128),
            "double_blocks.0.img_attn.norm.key_norm.scale": (128,), "double_blocks.0.img_attn.qkv.lora_A.weight": (128, 3072),
        },
        ("controlnet", "flux", "control-lora"), "",
    ),
    "a LoRA of FLUX.1's first layer": (
        {
            "transformer.x_embedder.lora_A.weight": (16, 64),
            "transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072),
        },
        ("lora", "flux", "diffusers"), "",
    ),
}  # fmt: skip


def test_what_has_a_family_s_layers_and_is_something_else_is_not_taken_for_it() -> None:
    for case, (shapes, expected, problem) in LOOKALIKES.items():
        found = sniff(header_of(shapes), "x.safetensors")
        assert (found.kind, found.family, found.variant) == expected, case
        assert problem in (found.problem or "") and bool(problem) == bool(found.problem), case


PATTERNS = [
    *(pattern for _, _, pattern in attachments.LORA_LAYERS), *(pattern for _, pattern, _ in attachments.LORA_WIDTHS),
    attachments.SDXL_LAYERS, rules.WAN_VAE, rules.UMT5, *(pattern for _, pattern, *_ in rules.TEXT_ENCODERS),
]  # fmt: skip


def test_no_pattern_of_names_repeats_without_end() -> None:
    """A name's length bounds the work: what repeats is a few letters, or the digits of one number."""
    for pattern in PATTERNS:
        assert "*" not in pattern.replace(r"\d*", "") and "+" not in pattern.replace(r"\d+", ""), pattern


def test_the_file_s_name_decides_nothing_that_the_header_shows(tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "sdxl_flux_lora_vae.safetensors", unet(768))
    assert sniff(read_header(file), file.name).family == "sd1"


def test_dtype_is_the_one_that_holds_most_bytes(tmp_path: Path) -> None:
    assert describe(write_sparse(tmp_path / "a.safetensors", xl(), dtype="BF16"), "a").dtype == "bf16"


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (xl(), "The file lacks its VAE, the text encoder CLIP ViT-L, the text encoder CLIP ViT-bigG and the tokenizer"),
        (xl(2560, 1280), "The file lacks its VAE, the text encoder CLIP ViT-bigG and the tokenizer"),
        (flux(), "model_index.json of black-forest-labs/FLUX.1-dev into models/FLUX.1-dev/"),
        (flux(384), "This is FLUX.1 Fill, which needs a picture to start from"),
        ({"single_stream_modulation.lin.weight": (1, 6144)}, "load the model from its diffusers folder"),
        ({"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.x": (1,)}, "A U-Net alone"),
    ],
)
def test_what_cannot_be_used_says_why(shapes: Shapes, reason: str, tmp_path: Path) -> None:
    write_sparse(tmp_path / "m.safetensors", shapes)
    (info,) = Catalog((tmp_path,), None).models()
    assert info.problem is not None
    assert reason in info.problem


def test_a_lora_in_the_checkpoints_folder_is_a_lora_and_no_problem(tmp_path: Path) -> None:
    _, shapes, _, _ = CASES["kohya LoRA"]
    info = describe(write_sparse(tmp_path / "checkpoints/l.safetensors", shapes), "l")
    assert (info.kind, info.capabilities.tasks, info.problem) == ("lora", (), None)


def gguf(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """A GGUF header: Q4_0 tensors, shapes stored innermost first, as ggml does."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    out = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 2)
    out += text("general.architecture") + struct.pack("<I", 8) + text("flux")
    out += text("sizes") + struct.pack("<IIQ", 9, 4, 2) + struct.pack("<II", 1, 2)
    end = 0
    for name, shape in tensors.items():
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        out += struct.pack("<IQ", 2, end)
        end += math.prod(shape) // 32 * 18
    path.write_bytes(out)
    os.truncate(path, -(-len(out) // 32) * 32 + end)
    return path


def test_gguf_is_read_by_the_same_rules(tmp_path: Path) -> None:
    header = read_header(gguf(tmp_path / "flux.gguf", flux()))
    assert header.metadata["general.architecture"] == "flux"
    assert header.tensors["img_in.weight"].shape == (3072, 64)
    assert header.tensors["img_in.weight"].dtype == "Q4_0"
    found = sniff(header, "flux.gguf")
    assert (found.kind, found.family) == ("gguf", "flux")


def test_half_a_gguf_is_refused(tmp_path: Path) -> None:
    file = gguf(tmp_path / "flux.gguf", flux())
    os.truncate(file, file.stat().st_size - 10)
    assert "The file is incomplete: expected" in (describe(file, "flux").problem or "")
    os.truncate(file, 100)
    assert describe(file, "flux").problem == "The GGUF file is incomplete or damaged: its header ends early."
