"""Tiny models as people keep them: one file, a denoiser with its companions beside, GGUF.

`tiny_models` writes diffusers folders; these are the same weights under their publishers' names. In a process where
`tests.manager.small_child.shrink` made a family small, the studio imports them as it imports the real ones.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.models import original_names as names
from tests.models import tiny_models
from tests.models.components import diffusers
from tests.models.folders import Components
from tests.models.tiny_text import clip_tokenizer, trained_bpe

TEXT = {
    "flux": {"text_encoder": "clip_l", "text_encoder_2": "t5xxl"},
    "sd3": {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"},
}
ORIGINAL: dict[str, Callable[[Any], names.Tensors]] = {"flux": names.flux_original, "sd3": names.sd3_original}


def folders(root: Path) -> dict[str, Path]:
    """FLUX.1 and Stable Diffusion 3.5 as diffusers folders, whose shapes say as much as those of the published files."""
    medium = {"sample_size": 128, "dual_attention_layers": (0, 1), "qk_norm": "rms_norm"}
    return {
        "flux": tiny_models.flux(root / "flux", seed=3),
        "sd3": tiny_models.stable_diffusion_3(root / "sd3", seed=4, **medium),
    }


def components_of(folder: Path) -> Components:
    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True).components


def sd1_checkpoint(file: Path, folder: Path) -> Path:
    """The StableDiffusionPipeline in `folder`, as CompVis published it."""
    parts = components_of(folder)
    text = names.text_original(parts["text_encoder"], "cond_stage_model.transformer.")
    return names.save(file, names.unet_original(parts["unet"]) | names.vae_original(parts["vae"]) | text)


def xl_checkpoint(file: Path, parts: Components) -> Path:
    """SDXL, its inpainting model or its refiner, as Stability published them."""
    tensors = names.unet_original(parts["unet"]) | names.vae_original(parts["vae"])
    number = 0
    if parts.get("text_encoder") is not None:
        tensors |= names.text_original(parts["text_encoder"], "conditioner.embedders.0.transformer.")
        number = 1
    tensors |= names.open_clip_original(parts["text_encoder_2"], f"conditioner.embedders.{number}.model.")
    return names.save(file, tensors)


def all_in_one(file: Path, folder: Path, family: str, *, without: tuple[str, ...] = (), dtype: Any = None) -> Path:
    """FLUX.1 or Stable Diffusion 3 in one file, as Stability and ComfyUI publish them."""
    parts = components_of(folder)
    tensors = {names.P + key: tensor for key, tensor in ORIGINAL[family](parts["transformer"]).items()}
    for component, name in TEXT[family].items():
        if component not in without:
            tensors |= names.text_original(parts[component], f"text_encoders.{name}.transformer.")
    return names.save(file, tensors | names.vae_original(parts["vae"]), dtype)


def comfy_layout(root: Path, folder: Path, family: str, *, denoiser: str = "flux1-dev.safetensors") -> Path:
    """A denoiser in diffusion_models/, and what it needs in text_encoders/ and vae/. Returns the denoiser's file."""
    parts = components_of(folder)
    for component, name in TEXT[family].items():
        published = "t5xxl_fp16" if name == "t5xxl" else name
        names.save(root / f"text_encoders/{published}.safetensors", names.text_original(parts[component]))
    vae = {key.removeprefix("first_stage_model."): tensor for key, tensor in names.vae_original(parts["vae"]).items()}
    names.save(root / f"vae/{'ae' if family == 'flux' else 'sd3_vae'}.safetensors", vae)
    return names.save(root / "diffusion_models" / denoiser, ORIGINAL[family](parts["transformer"]))


def gguf_file(file: Path, tensors: names.Tensors, architecture: str, packing: str, *, rearranged: bool = False) -> Path:
    """As converters write them: what has more than one side and rows of whole blocks is packed, the rest is not.

    U-Nets' convolutions are `rearranged` into such rows, and their shape is noted.
    """
    import gguf

    kind = getattr(gguf.GGMLQuantizationType, packing)
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, architecture)
    block = gguf.GGML_QUANT_SIZES[kind][0]
    for key, tensor in tensors.items():
        numbers = tensor.float().numpy()
        if rearranged and numbers.ndim > 1 and numbers.shape[-1] % block and not numbers.size % block:
            writer.add_array(f"comfy.gguf.orig_shape.{key}", list(numbers.shape))
            numbers = numbers.reshape(-1, block)
        use = kind if numbers.ndim > 1 and numbers.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(key, gguf.quants.quantize(numbers, use), raw_dtype=use)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def clip_files(folder: Path) -> None:
    """A CLIP tokenizer as two files."""
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(clip_tokenizer().get_vocab()))
    merges = [" ".join(pair) for pair in trained_bpe()["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))


def tokenizer_folders(root: Path, folder: Path, t5: str | None) -> None:
    """What a person puts into models/tokenizers/ where no folder of the family is there."""
    clip_files(root / "tokenizers/clip")
    if t5:
        shutil.copytree(folder / t5, root / "tokenizers/t5")
