"""Tiny models as people keep them: one file, a denoiser with its companions beside, GGUF.

`tiny_models` writes diffusers folders; these are the same weights under their publishers' names. In a process where a
family was made small by `shrink`, the studio imports them as it imports the real ones.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from studio.manager.disk import sniff, tokenizers
from studio.manager.families import FAMILIES, Blueprint
from tests.models.components import flow, make, vae_flow
from tests.models.folders import Components, builder
from tests.models.original_names import (
    P,
    Tensors,
    flux_original,
    open_clip_original,
    save,
    sd3_original,
    text_original,
    unet_original,
    vae_original,
)
from tests.models.tiny_text import END, clip_merges, clip_text, clip_tokenizer, t5_text, t5_tokenizer

WIDTHS = {"clip_l": 32, "clip_g": 64, "t5xxl": 96}
TEXT = {
    "flux": {"text_encoder": "clip_l", "text_encoder_2": "t5xxl"},
    "sd3": {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"},
}
ORIGINAL: dict[str, Callable[[Any], Tensors]] = {"flux": flux_original, "sd3": sd3_original}


# ---- folders whose shapes are those of the published files -----------------------------------------------------------


def _t5() -> tuple[Any, Any]:
    tokenizer = t5_tokenizer(512)
    return tokenizer, t5_text(tokenizer, WIDTHS["t5xxl"], feed_forward_proj="gated-gelu")


@builder("FluxPipeline")
def flux_folder(*, guided: bool = True) -> Components:
    """With heads as wide as the published ones: rotary axes cannot be inferred from shapes."""
    clip, (t5, t5_encoder) = clip_tokenizer(77), _t5()
    transformer = make(
        "FluxTransformer2DModel", patch_size=1, in_channels=64, num_layers=2, num_single_layers=1, attention_head_dim=128,
        num_attention_heads=1, joint_attention_dim=WIDTHS["t5xxl"], pooled_projection_dim=WIDTHS["clip_l"],
        guidance_embeds=guided,
    )  # fmt: skip
    blueprint = FAMILIES.get("flux").blueprint
    assert blueprint is not None
    return {
        "scheduler": flow(
            **(blueprint.configs["scheduler"] if guided else {"num_train_timesteps": 1000, "shift": 1.0})
        ),
        "vae": vae_flow(16, 2, scaling_factor=0.3611, shift_factor=0.1159, force_upcast=True),
        "text_encoder": clip_text(clip, WIDTHS["clip_l"]),
        "tokenizer": clip,
        "text_encoder_2": t5_encoder,
        "tokenizer_2": t5,
        "transformer": transformer,
    }


@builder("StableDiffusion3Pipeline")
def sd3_folder() -> Components:
    """In the manner of 3.5 medium; its first CLIP takes the pooled text as it is."""
    clip, clip_2, (t5, t5_encoder) = clip_tokenizer(77), clip_tokenizer(77, pad_token="!"), _t5()
    first = clip_text(clip, WIDTHS["clip_l"], projection=WIDTHS["clip_l"])
    first.text_projection.weight.data = torch.eye(WIDTHS["clip_l"])
    transformer = make(
        "SD3Transformer2DModel", sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=3,
        attention_head_dim=64, num_attention_heads=1, joint_attention_dim=WIDTHS["t5xxl"], caption_projection_dim=64,
        pooled_projection_dim=WIDTHS["clip_l"] + WIDTHS["clip_g"], pos_embed_max_size=16, dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )  # fmt: skip
    return {
        "transformer": transformer,
        "scheduler": flow(shift=3.0),
        "vae": vae_flow(16, 2, scaling_factor=1.5305, shift_factor=0.0609, force_upcast=True),
        "text_encoder": first,
        "tokenizer": clip,
        "text_encoder_2": clip_text(clip_2, WIDTHS["clip_g"], projection=WIDTHS["clip_g"]),
        "tokenizer_2": clip_2,
        "text_encoder_3": t5_encoder,
        "tokenizer_3": t5,
    }


def components_of(folder: Path) -> Components:
    import diffusers

    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True).components


# ---- files -----------------------------------------------------------------------------------------------------------


def sd1_checkpoint(file: Path, folder: Path) -> Path:
    """The StableDiffusionPipeline in `folder`, as CompVis published it."""
    parts = components_of(folder)
    text = text_original(parts["text_encoder"], "cond_stage_model.transformer.")
    return save(file, unet_original(parts["unet"]) | vae_original(parts["vae"]) | text)


def xl_checkpoint(file: Path, parts: Components) -> Path:
    """SDXL, its inpainting model or its refiner, as Stability published them."""
    tensors = unet_original(parts["unet"]) | vae_original(parts["vae"])
    number = 0
    if parts.get("text_encoder") is not None:
        tensors |= text_original(parts["text_encoder"], "conditioner.embedders.0.transformer.")
        number = 1
    tensors |= open_clip_original(parts["text_encoder_2"], f"conditioner.embedders.{number}.model.")
    return save(file, tensors)


def all_in_one(file: Path, folder: Path, family: str, *, without: tuple[str, ...] = (), dtype: Any = None) -> Path:
    """FLUX.1 or Stable Diffusion 3 in one file, as Stability and ComfyUI publish them."""
    parts = components_of(folder)
    tensors = {P + key: tensor for key, tensor in ORIGINAL[family](parts["transformer"]).items()}
    for component, name in TEXT[family].items():
        if component not in without:
            tensors |= text_original(parts[component], f"text_encoders.{name}.transformer.")
    return save(file, tensors | vae_original(parts["vae"]), dtype)


def comfy_layout(root: Path, folder: Path, family: str, *, denoiser: str = "flux1-dev.safetensors") -> Path:
    """A denoiser in diffusion_models/, and what it needs in text_encoders/ and vae/. Returns the denoiser's file."""
    parts = components_of(folder)
    for component, name in TEXT[family].items():
        published = "t5xxl_fp16" if name == "t5xxl" else name
        save(root / f"text_encoders/{published}.safetensors", text_original(parts[component]))
    vae = {key.removeprefix("first_stage_model."): tensor for key, tensor in vae_original(parts["vae"]).items()}
    save(root / f"vae/{'ae' if family == 'flux' else 'sd3_vae'}.safetensors", vae)
    return save(root / "diffusion_models" / denoiser, ORIGINAL[family](parts["transformer"]))


def gguf_file(file: Path, tensors: Tensors, architecture: str, packing: str, *, rearranged: bool = False) -> Path:
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
    merges = [" ".join(pair) for pair in clip_merges()]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))


def tokenizer_folders(root: Path, folder: Path, t5: str | None) -> None:
    """What a person puts into models/tokenizers/ where no folder of the family is there."""
    clip_files(root / "tokenizers/clip")
    if t5:
        shutil.copytree(folder / t5, root / "tokenizers/t5")


# ---- families as small as these models -------------------------------------------------------------------------------


def tiny_blueprint(folder: Path) -> Blueprint:
    """What a family's blueprint would hold for the StableDiffusionPipeline in `folder`."""
    parts = {
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "DDIMScheduler"),
    }
    configs = {
        name: json.loads((folder / name / "config.json").read_text()) for name in ("unet", "vae", "text_encoder")
    }
    configs["scheduler"] = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    arguments = {"requires_safety_checker": False, "safety_checker": [None, None], "feature_extractor": [None, None]}
    return Blueprint("StableDiffusionPipeline", parts, configs, {"tokenizer": END}, arguments)


def shrink(family: str, folder: Path, variant: str = "") -> None:
    """In this process the family's blueprint, and the widths that encoders are known by, are as small as the folder's."""
    whole = FAMILIES.get(family)
    blueprint = whole.blueprint_of(variant)
    assert blueprint is not None
    configs = {name: folder / name / "config.json" for name in blueprint.configs if name != "scheduler"}
    small = {name: json.loads(file.read_text()) for name, file in configs.items() if file.exists()}
    if variant:
        changed = {"variants": whole.variants | {variant: replace(blueprint, configs=blueprint.configs | small)}}
    else:
        changed = {"blueprint": replace(blueprint, configs=blueprint.configs | small)}
    FAMILIES._items[family] = replace(whole, **changed)
    tokenizers.SIZE = len(clip_tokenizer().get_vocab())
    sniff.TEXT_ENCODERS = tuple((*row[:3], WIDTHS.get(row[0], row[3])) for row in sniff.TEXT_ENCODERS)
