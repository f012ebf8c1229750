"""Sizes of tiny denoisers, as small as diffusers' classes allow: transformers, priors, U-Nets of classes of their own."""

import inspect
from typing import Any

from tests.models import tiny_text as text
from tests.models.components import diffusers, noisy

NARROW, WIDE = text.SMALL["hidden_size"], 32  # of the language models and T5; of CLIP and those of the U-Nets
CELLS = {"in_channels": 4, "out_channels": 4}

# What is small in every denoiser that has a default for it.
SMALL = {
    "num_layers": 1, "num_single_layers": 1, "num_refiner_layers": 1, "n_refiner_layers": 1, "num_attention_heads": 2,
    "attention_head_dim": 16, "num_kv_heads": 1, "in_channels": 16, "hidden_size": 16, "sample_size": 4,
    "joint_attention_dim": NARROW, "text_embed_dim": NARROW, "cap_feat_dim": NARROW, "context_in_dim": NARROW,
    "cross_attention_dim": NARROW, "pooled_projection_dim": NARROW, "caption_channels": NARROW, "time_embed_dim": 8,
    "axes_dims_rope": (4, 4, 8),
}  # fmt: skip
# What else a denoiser needs.
DENOISERS: dict[str, dict[str, Any]] = {
    "AuraFlowTransformer2DModel": {
        "in_channels": 4, "num_mmdit_layers": 1, "num_single_dit_layers": 1, "caption_projection_dim": 32,
        "pos_embed_max_size": 256, "sample_size": 16,
    },
    "BriaFiboTransformer2DModel": {"joint_attention_dim": 2 * NARROW, "text_encoder_dim": NARROW},
    "BriaFibo2Transformer2DModel": {
        "in_channels": 4, "dim": 32, "n_layers": 2, "n_heads": 2, "cap_feat_dim": 3 * NARROW, "injection_layer_ids": (1,),
        "perceiver_num_layers": 1, "min_num_gist_tokens": 4, "max_num_gist_tokens": 8, "gist_step": 4,
        "gist_min_text_len": 4, "gist_max_text_len": 16, "axes_dims": (4, 6, 6), "axes_lens": (64, 16, 16),
    },
    "ChromaTransformer2DModel": {"approximator_hidden_dim": 32, "approximator_layers": 1},
    "CogView3PlusTransformer2DModel": {**CELLS, "condition_dim": 2, "pos_embed_max_size": 8},
    "CogView4Transformer2DModel": {**CELLS, "condition_dim": 4, "rope_axes_dim": (16, 16)},
    "DiTTransformer2DModel": {"in_channels": 4, "out_channels": 8, "num_layers": 2, "sample_size": 8},
    "ErnieImageTransformer2DModel": {
        "hidden_size": 32, "ffn_hidden_size": 32, "out_channels": 16, "text_in_dim": NARROW, "rope_axes_dim": (4, 6, 6),
    },
    "Flux2Transformer2DModel": {"joint_attention_dim": 3 * NARROW, "axes_dims_rope": (4,) * 4},
    "FluxTransformer2DModel": {"pooled_projection_dim": WIDE, "guidance_embeds": True},
    "GlmImageTransformer2DModel": {
        **CELLS, "condition_dim": 8, "prior_vq_quantizer_codebook_size": 128, "time_embed_dim": 16,
    },
    "HiDreamImageTransformer2DModel": {
        **CELLS, "patch_size": 2, "attention_head_dim": 8, "num_attention_heads": 4, "caption_channels": [NARROW, NARROW],
        "text_emb_dim": 2 * WIDE, "axes_dims_rope": (4, 2, 2), "llama_layers": (0, 1),
    },
    "HunyuanDiT2DModel": {
        "in_channels": 4, "num_layers": 2, "patch_size": 2, "attention_head_dim": 8, "cross_attention_dim_t5": NARROW,
    },
    "HunyuanImageTransformer2DModel": {
        "in_channels": 8, "out_channels": 8, "text_embed_2_dim": NARROW, "rope_axes_dim": (8, 8),
    },
    "Ideogram4Transformer2DModel": {
        "attention_head_dim": 8, "num_attention_heads": 4, "intermediate_size": 32, "adaln_dim": 16,
        "llm_features_dim": 13 * 8, "rope_theta": 10_000, "mrope_section": (2, 1, 1),
    },
    "Kandinsky3UNet": {
        "in_channels": 4, "time_embedding_dim": 4, "groups": 2, "attention_head_dim": 4, "cross_attention_dim": 4,
        "block_out_channels": (32, 64), "encoder_hid_dim": NARROW,
    },
    "Kandinsky5Transformer3DModel": {
        "in_text_dim": NARROW, "in_text_dim2": WIDE, "time_dim": 16, "model_dim": 16, "ff_dim": 32, "num_text_blocks": 1,
        "num_visual_blocks": 1, "axes_dims": (1, 1, 2),
    },
    "Krea2Transformer2DModel": {
        "attention_head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32,
        "timestep_embed_dim": 8, "text_hidden_dim": NARROW, "num_text_layers": 3, "text_num_attention_heads": 2,
        "text_num_key_value_heads": 1, "text_intermediate_size": 16, "num_layerwise_text_blocks": 1,
        "num_refiner_text_blocks": 1, "axes_dims_rope": (4, 2, 2),
    },
    "LongCatImageTransformer2DModel": {"in_channels": 64},
    "LuminaNextDiT2DModel": {"in_channels": 4, "num_kv_heads": 1, "multiple_of": 16},
    "Lumina2Transformer2DModel": {
        "in_channels": 4, "hidden_size": 24, "multiple_of": 2, "axes_dim_rope": (4, 4, 4), "axes_lens": (300, 64, 64),
    },
    "NucleusMoEImageTransformer2DModel": {
        "out_channels": 4, "num_layers": 2, "moe_enabled": False, "capacity_factors": [8.0] * 2,
    },
    "OmniGenTransformer2DModel": {
        "in_channels": 4, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 32,
        "pad_token_id": 0, "vocab_size": 1000, "max_position_embeddings": 4096, "pos_embed_max_size": 32,
        "rope_scaling": {"long_factor": [1.0] * 4, "short_factor": [1.0] * 4}, "time_step_dim": 16,
    },
    "OvisImageTransformer2DModel": {"out_channels": 16},
    "PixArtTransformer2DModel": {
        "in_channels": 4, "num_layers": 2, "cross_attention_dim": 32, "use_additional_conditions": False,
    },
    "PriorTransformer": {"attention_head_dim": 12, "embedding_dim": WIDE},
    "PRXTransformer2DModel": {"in_channels": 4, "mlp_ratio": 2.0, "num_heads": 2, "depth": 1, "axes_dim": [4, 4]},
    "QwenImageTransformer2DModel": {"out_channels": 4},
    "QwenImage21Transformer2DModel": {"in_channels": 8, "out_channels": 8, "mlp_ratio": 2},
    "SanaTransformer2DModel": {
        **CELLS, "attention_head_dim": 8, "num_cross_attention_heads": 2, "cross_attention_head_dim": 8, "sample_size": 2,
    },
    "StableCascadeUNet": {
        **CELLS, "timestep_ratio_embedding_dim": 8, "num_attention_heads": (2,), "down_num_layers_per_block": (1,),
        "up_num_layers_per_block": (1,), "down_blocks_repeat_mappers": (1,), "up_blocks_repeat_mappers": (1,),
        "block_types_per_layer": (("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),),
        "clip_text_pooled_in_channels": WIDE, "dropout": (0.0,), "self_attn": False, "switch_level": (False,),
        "conditioning_dim": WIDE, "block_out_channels": (16,),
    },
    "Transformer2DModel": {  # of VQ diffusion
        "attention_bias": True, "cross_attention_dim": WIDE, "attention_head_dim": 32,
        "num_attention_heads": 1, "num_vector_embeds": 12, "num_embeds_ada_norm": 12, "norm_num_groups": 8,
        "sample_size": 8, "activation_fn": "geglu-approximate",
    },
    "UniDiffuserModel": {
        **CELLS, "text_dim": WIDE, "clip_img_dim": WIDE, "num_text_tokens": 24, "attention_head_dim": 8, "num_layers": 2,
        "patch_size": 2, "sample_size": 16, "activation_fn": "gelu", "num_embeds_ada_norm": 1000,
        "use_data_type_embedding": True,
    },
    "UVit2DModel": {
        "hidden_size": 8, "cond_embed_dim": 8, "micro_cond_encode_dim": 2, "in_channels": 8, "micro_cond_embed_dim": 10,
        "encoder_hidden_size": WIDE, "vocab_size": 32, "codebook_size": 8, "block_out_channels": 8, "num_res_blocks": 1,
        "downsample": True, "upsample": True, "block_num_heads": 1, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 8, "sample_size": 8,
    },
    "ZImageTransformer2DModel": {
        "in_channels": 4, "dim": 32, "n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "axes_dims": [8, 4, 4],
        "axes_lens": [1536, 64, 64],
    },
}  # fmt: skip


def denoiser(name: str, **config: Any) -> Any:
    parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
    small = {key: value for key, value in SMALL.items() if key in parameters and parameters[key].default is not None}
    return noisy(name, **(small | DENOISERS.get(name, {}) | config))
