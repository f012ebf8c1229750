"""Stable Diffusion 2.x: SD 1's shape with OpenCLIP ViT-H for text; its 768 px models predict v, its base models noise.

A folder names SD 1's pipeline classes, so the catalog tells it from SD 1 by its U-Net's text width (1024).
"""

from dataclasses import replace

from studio.core.models import Defaults
from studio.manager.families.base import register
from studio.manager.families.sd1 import BLUEPRINT, SCHEDULER, SD1, text_width

CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "projection_dim": 512,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
UNET = BLUEPRINT.configs["unet"] | {
    "sample_size": 96,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "upcast_attention": True,
}

SD2 = register(
    replace(
        SD1,
        name="sd2",
        title="Stable Diffusion 2.x",
        fits=lambda configs: text_width(configs) == 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=25, guidance_scale=7.0, width=768, height=768),
        blueprint=replace(
            BLUEPRINT,
            parts=BLUEPRINT.parts | {"scheduler": ("diffusers", "DDIMScheduler")},
            configs=BLUEPRINT.configs
            | {
                "unet": UNET,
                "text_encoder": CLIP_H,
                "scheduler": {k: SCHEDULER[k] for k in SCHEDULER if k != "skip_prk_steps"},
            },
            tokenizers={"tokenizer": "!"},
            companions={"vae": BLUEPRINT.companions["vae"]},
        ),
        source="stabilityai/stable-diffusion-2-1",
    )
)
