"""What else lies in the folders of AUTOMATIC1111, Forge, ComfyUI, Fooocus and kohya: known, or named for what it is."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from studio.core.models import ModelInfo
from studio.manager.conversion.weights_file import WeightsFile
from studio.manager.disk.catalog import Catalog
from tests.models import published_layouts as true
from tests.models.sparse_headers import CASES, Shapes, write_sparse


def listed(root: Path) -> dict[str, ModelInfo]:
    return {info.id: info for info in Catalog((root,), None).models()}


def umt5(vocabulary: int = 256_384) -> Shapes:
    """UMT5-XXL as ComfyUI keeps it for Wan: as wide as T5-XXL, every layer with a bias of positions."""
    block = "encoder.block.{}.layer.0.SelfAttention."
    shapes: Shapes = {"shared.weight": (vocabulary, 4096), "encoder.final_layer_norm.weight": (4096,)}
    for layer in range(2):
        shapes |= {block.format(layer) + f"{name}.weight": (4096, 4096) for name in "qkvo"}
        shapes[block.format(layer) + "relative_attention_bias.weight"] = (32, 64)
    return shapes


def long_clip() -> Shapes:
    return true.clip_text() | {"text_model.embeddings.position_embedding.weight": (248, 768)}


def int8_t5() -> Shapes:
    """As bitsandbytes writes it, and InvokeAI keeps it."""
    return true.t5() | {"encoder.block.0.layer.0.SelfAttention.q.SCB": (4096,)}


# path -> (tensors, dtype, kind, family, variant, words of the problem)
Case = tuple[Callable[[], Shapes], str, str, str | None, str, str | None]
FILES: dict[str, Case] = {
    "text_encoders/umt5_xxl_fp16.safetensors": (umt5, "F16", "text_encoder", None, "umt5xxl", None),
    "text_encoders/long_clip.safetensors": (long_clip, "F16", "text_encoder", None, "clip_l of 248 words", None),
    "text_encoders/t5xxl_fp16.safetensors": (true.t5, "F16", "text_encoder", None, "t5xxl", None),
    "any/t5_encoder/t5_bnb_int8/text_encoder_2/model.safetensors": (int8_t5, "I8", "text_encoder", None, "t5xxl", "quantised as I8"),
    "vae/odd.safetensors": (lambda: true.ldm_vae(), "U8", "vae", "sd1", "", "quantised as U8"),
}  # fmt: skip


# Autoencoders of diffusers -> family, variant: what decodes another model's latents must never complete a checkpoint.
AUTOENCODERS: dict[str, tuple[str | None, str]] = {
    "AutoencoderKL": ("sd1", ""),
    "AutoencoderKLFlux2": ("flux2", ""),
    "AutoencoderTiny": ("sd1", "tiny"),
    "AutoencoderDC": (None, ""),
    "AsymmetricAutoencoderKL": (None, "asymmetric"),
    "AutoencoderKLTemporalDecoder": (None, "video"),
    "AutoencoderKLWan": ("wan", "video"),
    "AutoencoderKLQwenImage": ("wan", "video"),
    "AutoencoderKLHunyuanVideo": (None, "video"),
    "AutoencoderKLAllegro": (None, "video"),
    "AutoencoderKLCogVideoX": (None, "video"),
}


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_is_told_for_what_it_decodes(name: str, tmp_path: Path) -> None:
    write_sparse(tmp_path / "good.safetensors", true.made(name))
    info = listed(tmp_path)["good"]
    assert (info.kind, info.family, info.variant) == ("vae", *AUTOENCODERS[name])


def test_a_tiny_autoencoder_completes_no_checkpoint(tmp_path: Path) -> None:
    write_sparse(tmp_path / "vae/tiny.safetensors", true.made("AutoencoderTiny"))
    write_sparse(tmp_path / "unet/sd15.safetensors", true.sd1())
    catalog = Catalog((tmp_path,), None)
    info = next(info for info in catalog.models() if info.kind == "checkpoint")
    assert "vae" in info.needs and "vae" not in catalog.beside(info)
    assert "lacks its VAE" in (info.problem or "")
    write_sparse(tmp_path / "vae/whole.safetensors", true.ldm_vae())
    catalog.models()
    assert catalog.beside(info)["vae"].files[0].name == "whole.safetensors"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelInfo]:
    root = tmp_path_factory.mktemp("people") / "models"
    for path, (making, dtype, *_) in FILES.items():
        write_sparse(root / path, making(), dtype)
    return listed(root)


@pytest.mark.parametrize("path", FILES)
def test_each_file_is_known_or_named(path: str, found: dict[str, ModelInfo]) -> None:
    info = found[str(Path(path).with_suffix(""))]
    _, _, kind, family, variant, problem = FILES[path]
    assert (info.kind, info.family, info.variant) == (kind, family, variant)
    assert problem in info.problem if problem and info.problem else info.problem is problem


def test_only_a_text_encoder_that_fits_completes_a_denoiser(tmp_path: Path) -> None:
    """The largest of them fit none: UMT5 knows another vocabulary, the long CLIP more positions, the int8 one no floats."""
    for path, (making, dtype, *_) in FILES.items():
        write_sparse(tmp_path / path, making(), dtype)
    write_sparse(tmp_path / "text_encoders/clip_l.safetensors", true.clip_text())
    write_sparse(tmp_path / "vae/ae.safetensors", true.ldm_vae(16, quant=False))
    write_sparse(tmp_path / "diffusion_models/flux1-dev.safetensors", CASES["FLUX dev"][1])
    catalog = Catalog((tmp_path,), None)
    info = next(info for info in catalog.models() if info.kind == "checkpoint")
    assert {name: origin.files[0].name for name, origin in catalog.beside(info).items()} == {
        "text_encoder": "clip_l.safetensors",
        "text_encoder_2": "t5xxl_fp16.safetensors",
        "vae": "ae.safetensors",
    }


@pytest.mark.parametrize("name", ["t5-v1_1-xxl", "umt5-xxl"])
def test_the_two_t5s_are_told_apart_as_gguf(name: str, tmp_path: Path) -> None:
    layers = range(1 if name.startswith("t5") else 2)
    wide = np.zeros((4096, 4096), np.float16)
    tensors = {f"enc.blk.{layer}.attn_{part}.weight": wide for layer in range(2) for part in "q"}
    tensors |= {f"enc.blk.{layer}.attn_rel_b.weight": np.zeros((32, 64), np.float32) for layer in layers}
    write_gguf(tmp_path / f"{name}.gguf", "t5encoder", tensors)
    assert listed(tmp_path)[name].variant == name.split("-")[0] + "xxl"


def test_a_language_model_says_what_it_calls_itself(tmp_path: Path) -> None:
    write_gguf(tmp_path / "chat.gguf", "llama", {"blk.0.attn_q.weight": np.zeros((64, 64), np.float32)})
    info = listed(tmp_path)["chat"]
    assert (info.kind, info.problem) == ("unknown", "Unrecognised model type: llama.")


def write_gguf(file: Path, architecture: str, tensors: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    writer = gguf.GGUFWriter(file, architecture)
    for key, tensor in tensors.items():
        writer.add_tensor(key, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_scale_for_each_row_is_applied_to_its_row(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from studio.core.errors import ModelError

    eight = torch.randn(6, 4).to(torch.float8_e4m3fn)
    rows, whole, blocks = torch.rand(6, 1), torch.tensor(0.5), torch.rand(6, 2)
    scales = {
        "a.weight_scale": rows,
        "b.scale_weight": whole,
        "c.weight_scale": blocks,
        "d.weight_scale": rows.reshape(6).clone(),
    }
    save_file(scales | {f"{name}.weight": eight.clone() for name in "abcd"}, tmp_path / "x.safetensors")
    file = WeightsFile(tmp_path / "x.safetensors")
    assert torch.equal(file.read("a.weight", 2, 3), eight.float()[2:5] * rows[2:5])
    assert torch.equal(file.read("a.weight"), eight.float() * rows)
    assert torch.equal(file.read("d.weight", 1, 2), eight.float()[1:3] * rows[1:3])
    assert torch.equal(file.read("b.weight", 2, 3), eight.float()[2:5] * 0.5)
    with pytest.raises(ModelError, match=r"quantised in a way that is not read here \(blocks at c\.weight_scale"):
        file.read("c.weight")


def test_a_model_in_several_files_is_listed_once(tmp_path: Path) -> None:
    halves = {"model.layers.0.self_attn.q_proj.weight": (64, 64)}, {"model.layers.1.self_attn.q_proj.weight": (64, 64)}
    for number, shapes in enumerate(halves, 1):
        write_sparse(tmp_path / f"models--org--chat/snapshots/rev/model-0000{number}-of-00002.safetensors", shapes)
    for number in (2, 3):
        write_sparse(tmp_path / f"checkpoints/big-0000{number}-of-00003.safetensors", CASES["SD 1.5"][1])
    write_sparse(tmp_path / "checkpoints/one-00001-of-00001.safetensors", CASES["SDXL"][1])
    for number, key in enumerate(CASES["SD 1.5"][1], 1):
        count = len(CASES["SD 1.5"][1])
        shapes = {key: CASES["SD 1.5"][1][key]}
        write_sparse(tmp_path / f"checkpoints/whole-{number:05d}-of-{count:05d}.safetensors", shapes)
    found = {info.title: info for info in listed(tmp_path).values()}
    assert found.keys() == {"chat", "big", "one", "whole"}
    assert "A text encoder or language model alone" in (found["chat"].problem or "")
    assert found["big"].problem == "The model lies in 3 files, and big-00001-of-00003.safetensors is missing."
    assert found["one"].family == "sdxl"
    assert (found["whole"].kind, found["whole"].family) == ("checkpoint", "sd1")
    assert found["whole"].problem == "It lies in several files, which are read only as part of a diffusers folder."
