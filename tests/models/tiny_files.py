"""Tiny FLUX.1 and Stable Diffusion 3 as people keep them: one file, a denoiser with its companions beside, GGUF.

The builders in `tiny_models` write diffusers folders; these write the same weights under their publishers' names.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.manager.disk import checkpoints, clip_vocabulary
from studio.manager.families import FAMILIES
from tests.models import tiny_models
from tests.models.original_names import P, flux_original, save, sd3_original, text_original

WIDTHS = {"clip_l": 32, "clip_g": 64, "t5xxl": 96}
TEXT = {
    "flux": {"text_encoder": "clip_l", "text_encoder_2": "t5xxl"},
    "sd3": {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"},
}
ORIGINAL: dict[str, Callable[[Any], dict[str, Any]]] = {"flux": flux_original, "sd3": sd3_original}


def flux_folder(folder: Path, *, guided: bool = True) -> Path:
    """FluxPipeline with heads as wide as the published ones (their rotary axes are not told by shapes)."""
    tiny_models._seeded(3)
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    clip, t5 = tiny_models.clip_tokenizer(77), tiny_models.t5_tokenizer(512)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=2, num_single_layers=1, attention_head_dim=128, num_attention_heads=1,
        joint_attention_dim=WIDTHS["t5xxl"], pooled_projection_dim=WIDTHS["clip_l"], guidance_embeds=guided,
    ).eval()  # fmt: skip
    scheduler = FAMILIES.get("flux").blueprint.configs["scheduler"]
    scheduler = scheduler if guided else {"num_train_timesteps": 1000, "shift": 1.0}
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**scheduler),
        vae=_vae(0.3611, 0.1159),
        text_encoder=tiny_models.clip_text(clip, WIDTHS["clip_l"]),
        tokenizer=clip,
        text_encoder_2=tiny_models.t5_text(t5, WIDTHS["t5xxl"], feed_forward_proj="gated-gelu"),
        tokenizer_2=t5,
        transformer=transformer,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def sd3_folder(folder: Path) -> Path:
    """StableDiffusion3Pipeline in the manner of 3.5 medium; its first CLIP takes the pooled text as it is."""
    tiny_models._seeded(4)
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    clip, clip_2, t5 = tiny_models.clip_tokenizer(77), tiny_models.clip_tokenizer(77), tiny_models.t5_tokenizer(512)
    clip_2.pad_token = "!"
    first = tiny_models.clip_text(clip, WIDTHS["clip_l"], projection=WIDTHS["clip_l"])
    first.text_projection.weight.data = torch.eye(WIDTHS["clip_l"])
    transformer = SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=3, attention_head_dim=64,
        num_attention_heads=1, joint_attention_dim=WIDTHS["t5xxl"], caption_projection_dim=64,
        pooled_projection_dim=WIDTHS["clip_l"] + WIDTHS["clip_g"], pos_embed_max_size=16,
        dual_attention_layers=(0, 1), qk_norm="rms_norm",
    ).eval()  # fmt: skip
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(1.5305, 0.0609),
        text_encoder=first,
        tokenizer=clip,
        text_encoder_2=tiny_models.clip_text(clip_2, WIDTHS["clip_g"], projection=WIDTHS["clip_g"]),
        tokenizer_2=clip_2,
        text_encoder_3=tiny_models.t5_text(t5, WIDTHS["t5xxl"], feed_forward_proj="gated-gelu"),
        tokenizer_3=t5,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def _vae(scale: float, shift: float) -> Any:
    return tiny_models.vae_kl(
        16,
        scaling_factor=scale,
        shift_factor=shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=True,
    )


def parts_of(folder: Path) -> dict[str, Any]:
    import diffusers

    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True).components


def all_in_one(file: Path, folder: Path, family: str, *, without: tuple[str, ...] = (), dtype: Any = None) -> Path:
    """One file, as Stability and ComfyUI publish them."""
    parts = parts_of(folder)
    tensors = {P + key: tensor for key, tensor in ORIGINAL[family](parts["transformer"]).items()}
    for component, name in TEXT[family].items():
        if component not in without:
            tensors |= text_original(parts[component], f"text_encoders.{name}.transformer.")
    tensors |= tiny_models.vae_to_ldm(parts["vae"])
    return save(file, tensors, dtype)


def comfy_layout(root: Path, folder: Path, family: str, *, denoiser: str = "flux1-dev.safetensors") -> Path:
    """A denoiser in diffusion_models/, and what it needs in text_encoders/ and vae/. Returns the denoiser's file."""
    parts = parts_of(folder)
    for component, name in TEXT[family].items():
        published = "t5xxl_fp16" if name == "t5xxl" else name
        save(root / f"text_encoders/{published}.safetensors", text_original(parts[component]))
    vae = {k.removeprefix("first_stage_model."): t for k, t in tiny_models.vae_to_ldm(parts["vae"]).items()}
    save(root / f"vae/{'ae' if family == 'flux' else 'sd3_vae'}.safetensors", vae)
    return save(root / "diffusion_models" / denoiser, ORIGINAL[family](parts["transformer"]))


def gguf_file(
    file: Path, tensors: dict[str, Any], architecture: str, packing: str, *, rearranged: bool = False
) -> Path:
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


def tokenizers(root: Path, folder: Path, t5: str | None) -> None:
    """What a person puts into models/tokenizers/ where no folder of the family is there."""
    words = tiny_models.clip_tokenizer().get_vocab()
    clip = root / "tokenizers/clip"
    clip.mkdir(parents=True)
    (clip / "vocab.json").write_text(json.dumps(words))
    merges = [" ".join(pair) for pair in tiny_models.clip_merges()]
    (clip / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    if t5:
        shutil.copytree(folder / t5, root / "tokenizers/t5")


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
    clip_vocabulary.SIZE = len(tiny_models.clip_tokenizer().get_vocab())
    checkpoints.TEXT_ENCODERS = tuple((*row[:3], WIDTHS.get(row[0], row[3])) for row in checkpoints.TEXT_ENCODERS)
