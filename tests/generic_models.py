"""Random, tiny checkpoints of the flow and transformer pipelines that only the generic family takes, in their real layout.

As `tiny_models`: each builder is `(folder, seed=0) -> folder`. Autoencoders keep their real compression, and the rest the
relations that the pipelines rely on; the weights are noise.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import generic_text as text
from tests.tiny_models import _seeded, clip_text, clip_tokenizer, t5_text, t5_tokenizer, vae_kl

SIDE = 32


def _save(folder: Path, pipeline: str, side: int = SIDE, **components: Any) -> Path:
    import diffusers

    getattr(diffusers, pipeline)(**components).save_pretrained(folder, safe_serialization=True)
    # Without a card the models would make pictures of their real size.
    (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": side, "height": side}}))
    return folder


def _flow(**config: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**config)


def _dynamic() -> Any:
    return _flow(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)


def _model(name: str, **config: Any) -> Any:
    """With noise where training begins with nothing, so that every part of the model has its say in the picture."""
    import diffusers
    import torch

    model = getattr(diffusers, name)(**config).eval()
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def _kl(channels: int = 4, levels: int = 4, **config: Any) -> Any:
    return vae_kl(channels, levels, use_quant_conv=False, use_post_quant_conv=False, **config)


def _flux2_vae() -> Any:
    """Eightfold, and its latents normed by statistics that it carries as buffers."""
    import torch

    vae = _model(
        "AutoencoderKLFlux2",
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    vae.bn.running_mean.copy_(torch.randn(16) * 0.3)
    vae.bn.running_var.copy_(torch.rand(16) + 0.5)
    return vae


def _qwen_vae(channels: int = 4) -> Any:
    return _model(
        "AutoencoderKLQwenImage",
        base_dim=8,
        z_dim=channels,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * k for k in range(channels)],
        latents_std=[1.0 + 0.1 * k for k in range(channels)],
    )


def _deep_vae(levels: int = 6) -> Any:
    """The deep-compression autoencoder: thirty-twofold with six levels."""
    return _model(
        "AutoencoderDC",
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4,) * levels,
        decoder_block_out_channels=(4,) * levels,
        encoder_layers_per_block=(1,) * levels,
        decoder_layers_per_block=(1,) * levels,
        encoder_qkv_multiscales=((),) * levels,
        decoder_qkv_multiscales=((),) * levels,
        upsample_block_type="interpolate",
        downsample_block_type="Conv",
        scaling_factor=0.41,
    )


_PACKED = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
}


def flux2(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model("Flux2Transformer2DModel", **_PACKED, joint_attention_dim=48, axes_dims_rope=(4, 4, 4, 4))
    return _save(
        folder,
        "Flux2Pipeline",
        scheduler=_dynamic(),
        vae=_flux2_vae(),
        text_encoder=text.mistral3(layers=31),  # its prompt is what layers 10, 20 and 30 make of it
        tokenizer=text.pixtral_processor(),
        transformer=transformer,
    )


def _klein(folder: Path, pipeline: str, seed: int, **arguments: Any) -> Path:
    _seeded(seed)
    transformer = _model(
        "Flux2Transformer2DModel",
        **_PACKED,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return _save(
        folder,
        pipeline,
        scheduler=_dynamic(),
        vae=_flux2_vae(),
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
    _seeded(seed)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = _model(
        "FluxTransformer2DModel",
        **_PACKED,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    return _save(
        folder,
        "FluxKontextPipeline",
        scheduler=_dynamic(),
        vae=_kl(shift_factor=0.1159),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=transformer,
    )


def _z_image_transformer(**config: Any) -> Any:
    return _model(
        "ZImageTransformer2DModel",
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1536, 64, 64],
        **config,
    )


def z_image(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    return _save(
        folder,
        "ZImagePipeline",
        scheduler=_flow(shift=3.0),
        vae=_kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=_z_image_transformer(),
    )


def z_image_omni(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    from transformers import Siglip2ImageProcessor, Siglip2VisionConfig, Siglip2VisionModel

    vision = Siglip2VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_patches=16
    )
    return _save(
        folder,
        "ZImageOmniPipeline",
        scheduler=_flow(shift=3.0),
        vae=_kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=_z_image_transformer(siglip_feat_dim=16),
        siglip=Siglip2VisionModel(vision).eval(),
        siglip_processor=Siglip2ImageProcessor(),
    )


def qwen_image(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
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
    return _save(
        folder,
        "QwenImagePipeline",
        scheduler=_flow(use_dynamic_shifting=True, shift_terminal=0.02, base_shift=0.5, max_shift=0.9),
        vae=_qwen_vae(),
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
    )


def qwen_image_21(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
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
    vae = _model(
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
    return _save(
        folder,
        "QwenImage21Pipeline",
        scheduler=_dynamic(),
        vae=vae,
        text_encoder=text.qwen3_vl(),
        processor=text.qwen_processor("Qwen3VLProcessor"),
        transformer=transformer,
    )


def _sana_transformer(**config: Any) -> Any:
    return _model(
        "SanaTransformer2DModel",
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=2,
        **config,
    )


def sana(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    from diffusers import DPMSolverMultistepScheduler

    return _save(
        folder,
        "SanaPipeline",
        side=64,
        tokenizer=text.gemma_tokenizer(),
        text_encoder=text.gemma2(),
        vae=_deep_vae(),
        transformer=_sana_transformer(),
        scheduler=DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0, algorithm_type="dpmsolver++"
        ),
    )


def sana_sprint(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    from diffusers import SCMScheduler

    return _save(
        folder,
        "SanaSprintPipeline",
        side=64,
        tokenizer=text.gemma_tokenizer(),
        text_encoder=text.gemma2(),
        vae=_deep_vae(),
        transformer=_sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
        scheduler=SCMScheduler(),
    )


def lumina(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "LuminaNextDiT2DModel",
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=16,
        num_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=16,
        cross_attention_dim=16,
        learn_sigma=True,
    )
    return _save(
        folder,
        "LuminaPipeline",
        transformer=transformer,
        scheduler=_flow(),
        vae=_kl(),
        text_encoder=text.gemma(),
        tokenizer=text.gemma_tokenizer(),
    )


def lumina2(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "Lumina2Transformer2DModel",
        sample_size=4,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=2,
        axes_dim_rope=(4, 4, 4),
        axes_lens=(300, 64, 64),
        cap_feat_dim=16,
    )
    return _save(
        folder,
        "Lumina2Pipeline",
        transformer=transformer,
        scheduler=_flow(shift=6.0),
        vae=_kl(shift_factor=0.1159),
        text_encoder=text.gemma2(),
        tokenizer=text.gemma_tokenizer(),
    )


def chroma(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    tokenizer = t5_tokenizer()
    transformer = _model(
        "ChromaTransformer2DModel",
        **_PACKED,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=64,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    return _save(
        folder,
        "ChromaPipeline",
        scheduler=_flow(use_beta_sigmas=True),
        vae=_kl(shift_factor=0.1159),
        text_encoder=t5_text(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def cogview3(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    from diffusers import CogVideoXDDIMScheduler

    tokenizer = t5_tokenizer(max_length=224)
    transformer = _model(
        "CogView3PlusTransformer2DModel",
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=32,
        time_embed_dim=8,
        condition_dim=2,
        pos_embed_max_size=8,
        sample_size=4,
    )
    scheduler = CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=4.0
    )
    return _save(
        folder,
        "CogView3PlusPipeline",
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer),
        vae=_kl(),
        transformer=transformer,
        scheduler=scheduler,
    )


def cogview4(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "CogView4Transformer2DModel",
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=4,
        num_attention_heads=4,
        text_embed_dim=32,
        time_embed_dim=8,
        condition_dim=4,
        sample_size=4,
        rope_axes_dim=(16, 16),
    )
    return _save(
        folder,
        "CogView4Pipeline",
        tokenizer=text.llama_tokenizer(),
        text_encoder=text.glm(),
        vae=_kl(),
        transformer=transformer,
        scheduler=_flow(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"),
    )


def hidream(folder: Path, seed: int = 0) -> Path:
    """It makes pictures of one area alone, 128 latent cells a side: with a shallow autoencoder those are few pixels."""
    _seeded(seed)
    clip, t5 = clip_tokenizer(128), t5_tokenizer(max_length=128)
    transformer = _model(
        "HiDreamImageTransformer2DModel",
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_channels=[32, 16],
        text_emb_dim=64,
        num_routed_experts=4,
        num_activated_experts=2,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(128, 128),
        llama_layers=(0, 1),
    )
    return _save(
        folder,
        "HiDreamImagePipeline",
        side=256,
        scheduler=_flow(shift=3.0),
        vae=_kl(levels=2, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=clip_text(clip, projection=32, positions=128),
        tokenizer=clip,
        text_encoder_2=clip_text(clip, projection=32, positions=128),
        tokenizer_2=clip,
        text_encoder_3=t5_text(t5),
        tokenizer_3=t5,
        text_encoder_4=text.llama(),
        tokenizer_4=text.llama_tokenizer(),
        transformer=transformer,
    )


def _hunyuan_dit_parts() -> dict[str, Any]:
    from diffusers import DDPMScheduler

    t5 = t5_tokenizer(max_length=256)
    transformer = _model(
        "HunyuanDiT2DModel",
        sample_size=4,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        hidden_size=16,
        cross_attention_dim=16,
        cross_attention_dim_t5=32,
        pooled_projection_dim=16,
        use_style_cond_and_image_meta_size=False,
    )
    return {
        "vae": _kl(),
        "text_encoder": text.bert(),
        "tokenizer": text.bert_tokenizer(),
        "text_encoder_2": t5_text(t5),
        "tokenizer_2": t5,
        "transformer": transformer,
        "scheduler": DDPMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.018, prediction_type="v_prediction"
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def hunyuan_dit(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    return _save(folder, "HunyuanDiTPipeline", **_hunyuan_dit_parts())


def hunyuan_image(folder: Path, seed: int = 0, *, distilled: bool = False) -> Path:
    """Guided by objects of their own; the distilled one is told its guidance in the call."""
    _seeded(seed)
    from diffusers import AdaptiveProjectedMixGuidance
    from transformers import ByT5Tokenizer

    glyphs = ByT5Tokenizer()
    transformer = _model(
        "HunyuanImageTransformer2DModel",
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=(1, 1),
        text_embed_dim=16,
        text_embed_2_dim=32,
        rope_axes_dim=(8, 8),
        guidance_embeds=distilled,
    )
    vae = _model(
        "AutoencoderKLHunyuanImage",
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(32,) * 6,
        layers_per_block=1,
        spatial_compression_ratio=32,
        sample_size=64,
        scaling_factor=0.75289,
    )
    guiders = {"guider": None, "ocr_guider": None}
    if not distilled:
        guiders = {
            "guider": AdaptiveProjectedMixGuidance(enabled=True),
            "ocr_guider": AdaptiveProjectedMixGuidance(enabled=True, adaptive_projected_guidance_start_step=38),
        }
    return _save(
        folder,
        "HunyuanImagePipeline",
        side=64,
        scheduler=_flow(shift=4.0 if distilled else 5.0),
        vae=vae,
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        text_encoder_2=t5_text(glyphs),
        tokenizer_2=glyphs,
        transformer=transformer,
        **guiders,
    )


def bria(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    tokenizer = t5_tokenizer()
    transformer = _model(
        "BriaTransformer2DModel",
        **_PACKED,
        joint_attention_dim=32,
        axes_dims_rope=[4, 4, 8],
    )
    return _save(
        folder,
        "BriaPipeline",
        transformer=transformer,
        scheduler=_dynamic(),
        vae=_kl(),
        text_encoder=t5_text(tokenizer),
        tokenizer=tokenizer,
    )


def _wan_vae(**config: Any) -> Any:
    return _model(
        "AutoencoderKLWan",
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        **config,
    )


def bria_fibo(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "BriaFiboTransformer2DModel",
        **_PACKED,
        joint_attention_dim=32,
        text_encoder_dim=16,
        axes_dims_rope=[4, 4, 8],
    )
    vae = _wan_vae(
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        is_residual=True,
        decoder_base_dim=8,
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    )
    return _save(
        folder,
        "BriaFiboPipeline",
        scheduler=_dynamic(),
        vae=vae,
        text_encoder=text.smollm3(),
        tokenizer=text.llama_tokenizer(),
        transformer=transformer,
    )


def bria_fibo2(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "BriaFibo2Transformer2DModel",
        in_channels=4,
        patch_size=2,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        cap_feat_dim=48,
        injection_layer_ids=(1,),
        perceiver_num_layers=1,
        min_num_gist_tokens=4,
        max_num_gist_tokens=8,
        gist_step=4,
        gist_min_text_len=4,
        gist_max_text_len=16,
        axes_dims=(4, 6, 6),
        axes_lens=(64, 16, 16),
    )
    return _save(
        folder,
        "BriaFibo2Pipeline",
        transformer=transformer,
        scheduler=_dynamic(),
        vae=_flux2_vae(),
        text_encoder=text.qwen3_vl(layers=36),  # its prompt is what layers up to the 35th make of it
        processor=text.qwen_processor("Qwen3VLProcessor"),
    )


def ernie_image(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "ErnieImageTransformer2DModel",
        hidden_size=32,
        num_attention_heads=2,
        num_layers=1,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=16,
        rope_axes_dim=(4, 6, 6),
    )
    return _save(
        folder,
        "ErnieImagePipeline",
        transformer=transformer,
        vae=_flux2_vae(),
        text_encoder=text.mistral3("Mistral3Model"),
        tokenizer=text.llama_tokenizer(),
        scheduler=_flow(shift=3.0),
        pe=None,
        pe_tokenizer=None,
    )


def ideogram4(folder: Path, seed: int = 0) -> Path:
    """Two transformers: one for the prompt, and one for none."""
    _seeded(seed)
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
    return _save(
        folder,
        "Ideogram4Pipeline",
        scheduler=_flow(),
        vae=_flux2_vae(),
        text_encoder=text.qwen3_vl("Qwen3VLModel", layers=36, width=8),
        tokenizer=text.qwen_tokenizer(),
        transformer=_model("Ideogram4Transformer2DModel", **sizes),
        unconditional_transformer=_model("Ideogram4Transformer2DModel", **sizes),
    )


def krea2(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
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
    return _save(
        folder,
        "Krea2Pipeline",
        scheduler=_dynamic(),
        vae=_qwen_vae(),
        text_encoder=text.qwen3_vl("Qwen3VLModel"),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
        text_encoder_select_layers=(0, 1, 2),
    )


def longcat_image(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "LongCatImageTransformer2DModel",
        **(_PACKED | {"in_channels": 64}),
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=[4, 4, 8],
    )
    return _save(
        folder,
        "LongCatImagePipeline",
        scheduler=_dynamic(),
        vae=_kl(16, shift_factor=0.1159),  # the pipeline knows of no other number of channels
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        text_processor=text.qwen_processor("Qwen2VLProcessor"),
        transformer=transformer,
    )


def nucleus_moe(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
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
    return _save(
        folder,
        "NucleusMoEImagePipeline",
        transformer=transformer,
        scheduler=_dynamic(),
        vae=_qwen_vae(),
        text_encoder=text.qwen3_vl(layers=8),  # the eighth layer from the end is its prompt
        processor=text.qwen_processor("Qwen3VLProcessor"),
    )


def ovis_image(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    transformer = _model(
        "OvisImageTransformer2DModel",
        **_PACKED,
        out_channels=16,
        joint_attention_dim=16,
        axes_dims_rope=(4, 4, 8),
    )
    return _save(
        folder,
        "OvisImagePipeline",
        scheduler=_dynamic(),
        vae=_kl(shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=transformer,
    )


def _prx_transformer(**config: Any) -> Any:
    return _model(
        "PRXTransformer2DModel",
        patch_size=2,
        context_in_dim=16,
        hidden_size=16,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        axes_dim=[4, 4],
        **config,
    )


def prx(folder: Path, seed: int = 0) -> Path:
    _seeded(seed)
    from transformers import T5GemmaConfig

    encoder = text.t5_gemma()
    _save(
        folder,
        "PRXPipeline",
        transformer=_prx_transformer(in_channels=4),
        scheduler=_flow(shift=3.0),
        vae=_kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=text.gemma_tokenizer(256),
    )
    # Published folders have the configuration of the whole T5Gemma, and of that the encoder alone.
    whole = T5GemmaConfig(encoder=encoder.config, decoder=encoder.config, is_encoder_decoder=False, vocab_size=256)
    whole.save_pretrained(folder / "text_encoder")
    index = json.loads((folder / "model_index.json").read_text())
    index["text_encoder"] = ["prx", "T5GemmaEncoder"]  # saved without a module of that name to find it by
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def prx_pixel(folder: Path, seed: int = 0) -> Path:
    """In pixels, without an autoencoder."""
    _seeded(seed)
    return _save(
        folder,
        "PRXPixelPipeline",
        transformer=_prx_transformer(in_channels=3, bottleneck_size=8, resolution_embeds=True),
        scheduler=_flow(),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(256),
    )


def glm_image(folder: Path, seed: int = 0) -> Path:
    """A language model writes a coarse picture in tokens, which the transformer then paints."""
    _seeded(seed)
    from transformers import (
        ByT5Tokenizer,
        GlmImageConfig,
        GlmImageForConditionalGeneration,
        GlmImageImageProcessor,
        GlmImageProcessor,
    )

    glyphs = ByT5Tokenizer()
    config = GlmImageConfig(
        text_config={
            "vocab_size": 384,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "vision_vocab_size": 128,
            "rope_parameters": {"mrope_section": [2, 1, 1], "rope_type": "default", "rope_theta": 10_000.0},
            "pad_token_id": 0,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "num_heads": 2,
            "image_size": 32,
            "patch_size": 8,
            "intermediate_size": 16,
        },
        vq_config={"embed_dim": 16, "num_embeddings": 128, "latent_channels": 16},
    )
    transformer = _model(
        "GlmImageTransformer2DModel",
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=32,
        time_embed_dim=16,
        condition_dim=8,
        prior_vq_quantizer_codebook_size=128,
    )
    tokenizer = text.llama_tokenizer(
        extra_special_tokens={"image_token": "<|image|>", "grid_bos_token": "<grid>", "grid_eos_token": "</grid>"}
    )
    return _save(
        folder,
        "GlmImagePipeline",
        side=64,
        tokenizer=glyphs,
        processor=GlmImageProcessor(
            image_processor=GlmImageImageProcessor(), tokenizer=tokenizer, chat_template=tokenizer.chat_template
        ),
        text_encoder=t5_text(glyphs),
        vision_language_encoder=GlmImageForConditionalGeneration(config).eval(),
        vae=_kl(latents_mean=[0.0] * 4, latents_std=[1.0] * 4),
        transformer=transformer,
        scheduler=_dynamic(),
    )


# pipeline -> builder of a random checkpoint of it
BUILDERS: dict[str, Callable[..., Path]] = {
    "bria": bria,
    "bria_fibo": bria_fibo,
    "bria_fibo2": bria_fibo2,
    "chroma": chroma,
    "cogview3": cogview3,
    "cogview4": cogview4,
    "ernie_image": ernie_image,
    "flux2": flux2,
    "flux2_klein": flux2_klein,
    "flux2_klein_kv": flux2_klein_kv,
    "flux_kontext": flux_kontext,
    "glm_image": glm_image,
    "hidream": hidream,
    "hunyuan_dit": hunyuan_dit,
    "hunyuan_image": hunyuan_image,
    "ideogram4": ideogram4,
    "krea2": krea2,
    "longcat_image": longcat_image,
    "lumina": lumina,
    "lumina2": lumina2,
    "nucleus_moe": nucleus_moe,
    "ovis_image": ovis_image,
    "prx": prx,
    "prx_pixel": prx_pixel,
    "qwen_image": qwen_image,
    "qwen_image_21": qwen_image_21,
    "sana": sana,
    "sana_sprint": sana_sprint,
    "z_image": z_image,
    "z_image_omni": z_image_omni,
}
