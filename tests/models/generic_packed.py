"""Tiny folders of pipelines that denoise a picture's patches in a row: FLUX's kin, Qwen-Image and theirs.

Each builder is `(folder, seed=0) -> folder`; the relations that the pipelines rely on are real, the sizes are not.
"""

from pathlib import Path
from typing import Any

from tests.models import generic_text as text
from tests.models.components import seeded
from tests.models.generic_parts import PACKED, dynamic, flow, flux2_vae, kl, model, qwen_vae, save, wan_vae
from tests.models.tiny_text import clip_text, clip_tokenizer, t5_text, t5_tokenizer


def flux2(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model("Flux2Transformer2DModel", **PACKED, joint_attention_dim=48, axes_dims_rope=(4, 4, 4, 4))
    return save(
        folder,
        "Flux2Pipeline",
        scheduler=dynamic(),
        vae=flux2_vae(),
        text_encoder=text.mistral3(layers=31),  # its prompt is what layers 10, 20 and 30 make of it
        tokenizer=text.pixtral_processor(),
        transformer=transformer,
    )


def _klein(folder: Path, pipeline: str, seed: int, **arguments: Any) -> Path:
    seeded(seed)
    transformer = model(
        "Flux2Transformer2DModel",
        **PACKED,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return save(
        folder,
        pipeline,
        scheduler=dynamic(),
        vae=flux2_vae(),
        text_encoder=text.qwen3("Qwen3ForCausalLM", layers=28),  # layers 9, 18 and 27
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
        **arguments,
    )


def flux2_klein(folder: Path, seed: int = 0, *, distilled: bool = False) -> Path:
    return _klein(folder, "Flux2KleinPipeline", seed, is_distilled=distilled)


def flux2_klein_kv(folder: Path, seed: int = 0) -> Path:
    return _klein(folder, "Flux2KleinKVPipeline", seed)


def flux_kontext(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = model(
        "FluxTransformer2DModel",
        **PACKED,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    return save(
        folder,
        "FluxKontextPipeline",
        scheduler=dynamic(),
        vae=kl(shift_factor=0.1159),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=transformer,
    )


def chroma(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    tokenizer = t5_tokenizer()
    transformer = model(
        "ChromaTransformer2DModel",
        **PACKED,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=64,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    return save(
        folder,
        "ChromaPipeline",
        scheduler=flow(use_beta_sigmas=True),
        vae=kl(shift_factor=0.1159),
        text_encoder=t5_text(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def bria(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    tokenizer = t5_tokenizer()
    transformer = model(
        "BriaTransformer2DModel",
        **PACKED,
        joint_attention_dim=32,
        axes_dims_rope=[4, 4, 8],
    )
    return save(
        folder,
        "BriaPipeline",
        transformer=transformer,
        scheduler=dynamic(),
        vae=kl(),
        text_encoder=t5_text(tokenizer),
        tokenizer=tokenizer,
    )


def bria_fibo(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "BriaFiboTransformer2DModel",
        **PACKED,
        joint_attention_dim=32,
        text_encoder_dim=16,
        axes_dims_rope=[4, 4, 8],
    )
    vae = wan_vae(
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        is_residual=True,
        decoder_base_dim=8,
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    )
    return save(
        folder,
        "BriaFiboPipeline",
        scheduler=dynamic(),
        vae=vae,
        text_encoder=text.smollm3(),
        tokenizer=text.llama_tokenizer(),
        transformer=transformer,
    )


def longcat_image(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "LongCatImageTransformer2DModel",
        **(PACKED | {"in_channels": 64}),
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
    )
    return save(
        folder,
        "LongCatImagePipeline",
        scheduler=dynamic(),
        vae=kl(16, shift_factor=0.1159),  # the pipeline knows of no other number of channels
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        text_processor=text.qwen_processor("Qwen2VLProcessor"),
        transformer=transformer,
    )


def ovis_image(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "OvisImageTransformer2DModel",
        **PACKED,
        out_channels=16,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    return save(
        folder,
        "OvisImagePipeline",
        scheduler=dynamic(),
        vae=kl(shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
    )


def qwen_image(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "QwenImageTransformer2DModel",
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    return save(
        folder,
        "QwenImagePipeline",
        scheduler=flow(use_dynamic_shifting=True, shift_terminal=0.02, base_shift=0.5, max_shift=0.9),
        vae=qwen_vae(),
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
    )


def qwen_image_21(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "QwenImage21Transformer2DModel",
        patch_size=1,
        in_channels=8,
        out_channels=8,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=16,
        mlp_ratio=2,
        axes_dims_rope=(4, 6, 6),
    )
    vae = model(
        "AutoencoderKLQwenImage21",
        base_dim=4,
        decoder_base_dim=4,
        z_dim=8,
        dim_mult=[1, 1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True, True],
        latents_mean=[0.0] * 8,
        latents_std=[1.0] * 8,
    )
    return save(
        folder,
        "QwenImage21Pipeline",
        scheduler=dynamic(),
        vae=vae,
        text_encoder=text.qwen3_vl(),
        processor=text.qwen_processor("Qwen3VLProcessor"),
        transformer=transformer,
    )


def krea2(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "Krea2Transformer2DModel",
        in_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32,
        timestep_embed_dim=8,
        text_hidden_dim=16,
        num_text_layers=3,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=16,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2),
    )
    return save(
        folder,
        "Krea2Pipeline",
        scheduler=dynamic(),
        vae=qwen_vae(),
        text_encoder=text.qwen3_vl("Qwen3VLModel"),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
        text_encoder_select_layers=(0, 1, 2),
    )


def nucleus_moe(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
        "NucleusMoEImageTransformer2DModel",
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
        moe_enabled=False,
        capacity_factors=[8.0, 8.0],
    )
    return save(
        folder,
        "NucleusMoEImagePipeline",
        transformer=transformer,
        scheduler=dynamic(),
        vae=qwen_vae(),
        text_encoder=text.qwen3_vl(layers=8),  # the eighth layer from the end is its prompt
        processor=text.qwen_processor("Qwen3VLProcessor"),
    )


def ideogram4(folder: Path, seed: int = 0) -> Path:
    """Two transformers: one for the prompt, and one for none."""
    seeded(seed)
    sizes = {
        "in_channels": 16,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "adaln_dim": 16,
        "llm_features_dim": 13 * 8,
        "rope_theta": 10_000,
        "mrope_section": (2, 1, 1),
    }
    return save(
        folder,
        "Ideogram4Pipeline",
        scheduler=flow(),
        vae=flux2_vae(),
        text_encoder=text.qwen3_vl("Qwen3VLModel", layers=36, width=8),
        tokenizer=text.qwen_tokenizer(),
        transformer=model("Ideogram4Transformer2DModel", **sizes),
        unconditional_transformer=model("Ideogram4Transformer2DModel", **sizes),
    )
