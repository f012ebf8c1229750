"""Tiny folders of pipelines that denoise a picture as it lies, and of those that do it in pixels.

Each builder is `(folder, seed=0) -> folder`; the relations that the pipelines rely on are real, the sizes are not.
"""

import json
from pathlib import Path
from typing import Any

from tests.models import generic_text as text
from tests.models.components import seeded
from tests.models.generic_parts import deep_vae, dynamic, flow, flux2_vae, kl, model, save
from tests.models.tiny_text import clip_text, clip_tokenizer, t5_text, t5_tokenizer


def _z_image_transformer(**config: Any) -> Any:
    return model(
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
    seeded(seed)
    return save(
        folder,
        "ZImagePipeline",
        scheduler=flow(shift=3.0),
        vae=kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=_z_image_transformer(),
    )


def z_image_omni(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    from transformers import Siglip2ImageProcessor, Siglip2VisionConfig, Siglip2VisionModel

    vision = Siglip2VisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_patches=16
    )
    return save(
        folder,
        "ZImageOmniPipeline",
        scheduler=flow(shift=3.0),
        vae=kl(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(),
        transformer=_z_image_transformer(siglip_feat_dim=16),
        siglip=Siglip2VisionModel(vision).eval(),
        siglip_processor=Siglip2ImageProcessor(),
    )


def _sana_transformer(**config: Any) -> Any:
    return model(
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


def sana(folder: Path, seed: int = 0, *, pipeline: str = "SanaPipeline") -> Path:
    seeded(seed)
    from diffusers import DPMSolverMultistepScheduler

    return save(
        folder,
        pipeline,
        side=64,
        tokenizer=text.gemma_tokenizer(),
        text_encoder=text.gemma2(),
        vae=deep_vae(),
        transformer=_sana_transformer(),
        scheduler=DPMSolverMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0, algorithm_type="dpmsolver++"
        ),
    )


def sana_sprint(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    from diffusers import SCMScheduler

    return save(
        folder,
        "SanaSprintPipeline",
        side=64,
        tokenizer=text.gemma_tokenizer(),
        text_encoder=text.gemma2(),
        vae=deep_vae(),
        transformer=_sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
        scheduler=SCMScheduler(),
    )


def lumina(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
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
    return save(
        folder,
        "LuminaPipeline",
        transformer=transformer,
        scheduler=flow(),
        vae=kl(),
        text_encoder=text.gemma(),
        tokenizer=text.gemma_tokenizer(),
    )


def lumina2(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
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
    return save(
        folder,
        "Lumina2Pipeline",
        transformer=transformer,
        scheduler=flow(shift=6.0),
        vae=kl(shift_factor=0.1159),
        text_encoder=text.gemma2(),
        tokenizer=text.gemma_tokenizer(),
    )


def cogview3(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    from diffusers import CogVideoXDDIMScheduler

    tokenizer = t5_tokenizer(max_length=224)
    transformer = model(
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
    return save(
        folder,
        "CogView3PlusPipeline",
        tokenizer=tokenizer,
        text_encoder=t5_text(tokenizer),
        vae=kl(),
        transformer=transformer,
        scheduler=scheduler,
    )


def cogview4(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
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
    return save(
        folder,
        "CogView4Pipeline",
        tokenizer=text.llama_tokenizer(),
        text_encoder=text.glm(),
        vae=kl(),
        transformer=transformer,
        scheduler=flow(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear"),
    )


def hidream(folder: Path, seed: int = 0) -> Path:
    """It makes pictures of one area alone, 128 latent cells a side: with a shallow autoencoder those are few pixels."""
    seeded(seed)
    clip, t5 = clip_tokenizer(128), t5_tokenizer(max_length=128)
    transformer = model(
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
    return save(
        folder,
        "HiDreamImagePipeline",
        side=256,
        scheduler=flow(shift=3.0),
        vae=kl(levels=2, scaling_factor=0.3611, shift_factor=0.1159),
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
    transformer = model(
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
        "vae": kl(),
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
    seeded(seed)
    return save(folder, "HunyuanDiTPipeline", **_hunyuan_dit_parts())


def hunyuan_image(folder: Path, seed: int = 0, *, distilled: bool = False) -> Path:
    """Guided by objects of their own; the distilled one is told its guidance in the call."""
    seeded(seed)
    from diffusers import AdaptiveProjectedMixGuidance
    from transformers import ByT5Tokenizer

    glyphs = ByT5Tokenizer()
    transformer = model(
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
    vae = model(
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
    return save(
        folder,
        "HunyuanImagePipeline",
        side=64,
        scheduler=flow(shift=4.0 if distilled else 5.0),
        vae=vae,
        text_encoder=text.qwen25_vl(),
        tokenizer=text.qwen_tokenizer(),
        text_encoder_2=t5_text(glyphs),
        tokenizer_2=glyphs,
        transformer=transformer,
        **guiders,
    )


def bria_fibo2(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
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
    return save(
        folder,
        "BriaFibo2Pipeline",
        transformer=transformer,
        scheduler=dynamic(),
        vae=flux2_vae(),
        text_encoder=text.qwen3_vl(layers=36),  # its prompt is what layers up to the 35th make of it
        processor=text.qwen_processor("Qwen3VLProcessor"),
    )


def ernie_image(folder: Path, seed: int = 0) -> Path:
    seeded(seed)
    transformer = model(
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
    return save(
        folder,
        "ErnieImagePipeline",
        transformer=transformer,
        vae=flux2_vae(),
        text_encoder=text.mistral3("Mistral3Model"),
        tokenizer=text.llama_tokenizer(),
        scheduler=flow(shift=3.0),
        pe=None,
        pe_tokenizer=None,
    )


def _prx_transformer(**config: Any) -> Any:
    return model(
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
    seeded(seed)
    from transformers import T5GemmaConfig

    encoder = text.t5_gemma()
    save(
        folder,
        "PRXPipeline",
        transformer=_prx_transformer(in_channels=4),
        scheduler=flow(shift=3.0),
        vae=kl(scaling_factor=0.3611, shift_factor=0.1159),
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
    seeded(seed)
    return save(
        folder,
        "PRXPixelPipeline",
        transformer=_prx_transformer(in_channels=3, bottleneck_size=8, resolution_embeds=True),
        scheduler=flow(),
        text_encoder=text.qwen3(),
        tokenizer=text.qwen_tokenizer(256),
    )


def glm_image(folder: Path, seed: int = 0) -> Path:
    """A language model writes a coarse picture in tokens, which the transformer then paints."""
    seeded(seed)
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
    transformer = model(
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
    return save(
        folder,
        "GlmImagePipeline",
        side=64,
        tokenizer=glyphs,
        processor=GlmImageProcessor(
            image_processor=GlmImageImageProcessor(), tokenizer=tokenizer, chat_template=tokenizer.chat_template
        ),
        text_encoder=t5_text(glyphs),
        vision_language_encoder=GlmImageForConditionalGeneration(config).eval(),
        vae=kl(latents_mean=[0.0] * 4, latents_std=[1.0] * 4),
        transformer=transformer,
        scheduler=dynamic(),
    )
