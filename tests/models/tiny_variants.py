"""Tiny models whose denoiser wants more than a prompt: inpainting U-Nets, SDXL's refiner; and SDXL as one file.

Folders as in `tiny_models`, and their single files under the names of OpenCLIP and CompVis.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.models import tiny_models
from tests.models.original_names import save, text_original
from tests.models.tiny_models import clip_text, clip_tokenizer, unet_conditioned, vae_kl

REFINER_TIME, REFINER_POOLED = 500, 60  # 5 * 500 + 60 = 2560 is what the refiner is known by
XL: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "transformer_layers_per_block": 1,
    "use_linear_projection": True,
}


def sd1_inpaint(folder: Path, seed: int = 0) -> Path:
    tiny_models._seeded(seed)
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline

    tokenizer = clip_tokenizer()
    StableDiffusionInpaintPipeline(
        vae=vae_kl(),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet_conditioned(in_channels=9),
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def sdxl(folder: Path, seed: int = 0, *, channels: int = 4, tokens: int = 24) -> Path:
    """The base model, or with nine channels the inpainting one."""
    tiny_models._seeded(seed)
    import diffusers

    first, second = clip_tokenizer(tokens), clip_tokenizer(tokens)
    second.pad_token = "!"
    unet = unet_conditioned(
        64, in_channels=channels, addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 32, **XL
    )
    cls = diffusers.StableDiffusionXLPipeline if channels == 4 else diffusers.StableDiffusionXLInpaintPipeline
    cls(
        vae=vae_kl(),
        text_encoder=clip_text(first, positions=77),
        text_encoder_2=clip_text(second, projection=32, positions=77),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=_euler(),
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def sdxl_inpaint(folder: Path, seed: int = 0) -> Path:
    return sdxl(folder, seed, channels=9)


def sdxl_refiner(folder: Path, seed: int = 0, *, tokens: int = 24) -> Path:
    """Told by its second encoder alone, and of how beautiful the picture is to be."""
    tiny_models._seeded(seed)
    from diffusers import StableDiffusionXLImg2ImgPipeline

    tokenizer = clip_tokenizer(tokens)
    tokenizer.pad_token = "!"
    unet = unet_conditioned(32, addition_time_embed_dim=REFINER_TIME, projection_class_embeddings_input_dim=2560, **XL)
    StableDiffusionXLImg2ImgPipeline(
        vae=vae_kl(),
        text_encoder=None,
        text_encoder_2=clip_text(tokenizer, projection=REFINER_POOLED, positions=77),
        tokenizer=None,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=_euler(),
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def _euler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
    )


# what a catalog finds -> builder of a folder
VARIANTS: dict[str, Callable[..., Path]] = {
    "sd1-inpaint": sd1_inpaint,
    "sdxl-inpaint": sdxl_inpaint,
    "sdxl-refiner": sdxl_refiner,
}


def open_clip_original(module: Any, prefix: str) -> dict[str, Any]:
    """A CLIPTextModelWithProjection as OpenCLIP names it: queries, keys and values in one, the projection transposed."""
    import torch

    ours = {key.removeprefix("text_model."): tensor for key, tensor in module.state_dict().items()}
    out = {
        "token_embedding.weight": ours["embeddings.token_embedding.weight"],
        "positional_embedding": ours["embeddings.position_embedding.weight"],
        "ln_final.weight": ours["final_layer_norm.weight"],
        "ln_final.bias": ours["final_layer_norm.bias"],
        "text_projection": ours["text_projection.weight"].T,
    }
    pairs = (
        ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"),
        ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
    )  # fmt: skip
    for i in range(module.config.num_hidden_layers):
        theirs, mine = f"transformer.resblocks.{i}.", f"encoder.layers.{i}."
        for ending in ("weight", "bias"):
            out |= {f"{theirs}{a}.{ending}": ours[f"{mine}{b}.{ending}"] for a, b in pairs}
            three = [ours[f"{mine}self_attn.{letter}_proj.{ending}"] for letter in "qkv"]
            out[f"{theirs}attn.in_proj_{ending}"] = torch.cat(three)
    return {prefix + key: tensor for key, tensor in out.items()}


def xl_checkpoint(file: Path, parts: dict[str, Any]) -> Path:
    """SDXL, its inpainting model or its refiner, as Stability published them."""
    tensors = tiny_models.unet_to_ldm(parts["unet"]) | tiny_models.vae_to_ldm(parts["vae"])
    number = 0
    if parts.get("text_encoder") is not None:
        tensors |= text_original(parts["text_encoder"], "conditioner.embedders.0.transformer.")
        number = 1
    tensors |= open_clip_original(parts["text_encoder_2"], f"conditioner.embedders.{number}.model.")
    return save(file, tensors)
