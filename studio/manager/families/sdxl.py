"""Stable Diffusion XL: base, inpainting, turbo and lightning; two text encoders, sizes given to the U-Net."""

from dataclasses import replace
from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import (
    CLIP_G_FILE,
    CLIP_L_FILE,
    PREFIXES,
    Blueprint,
    Call,
    Companion,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.sd1 import CLIP_L, SCHEDULER, VAE

# RGB in -1..1 from the latent, after "Explaining the SDXL latent space" (Hugging Face blog, T. Alexis Vass, 2024).
LATENT = LatentFormat(
    channels=4,
    scale=0.13025,
    rgb=((0.4706, 0.4706, 0.4706), (-0.4706, -0.0392, 0.0784), (0.1961, 0.1176, -0.0392), (-0.5490, -0.3922, -0.2745)),
    bias=(0.1765, 0.0980, 0.0196),
)
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "projection_dim": 1280,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}

REFINER_UNET = UNET | {
    "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": 4,
    "attention_head_dim": [6, 12, 24, 24],
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
BASE = Blueprint(
    pipeline="StableDiffusionXLPipeline",
    parts={
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "tokenizer_2": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "EulerDiscreteScheduler"),
    },
    configs={
        "unet": UNET,
        "vae": VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True},
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
        "scheduler": {k: SCHEDULER[k] for k in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")}
        | {"steps_offset": 1, "timestep_spacing": "leading"},
    },
    tokenizers={"tokenizer": "<|endoftext|>", "tokenizer_2": "!"},
    arguments={"force_zeros_for_empty_prompt": True},
    companions={
        "text_encoder": CLIP_L_FILE,
        "text_encoder_2": CLIP_G_FILE,
        "vae": Companion("vae", "vae/sdxl_vae.safetensors", family="sdxl"),
    },
)
# Made for few steps (turbo, lightning, ...): a grid of few steps must start from pure noise.
FEW_STEP = replace(
    BASE, configs=BASE.configs | {"scheduler": BASE.configs["scheduler"] | {"timestep_spacing": "trailing"}}
)
# The refiner: wider, conditioned on the second encoder alone and on an aesthetic score.
REFINER = replace(
    BASE,
    pipeline="StableDiffusionXLImg2ImgPipeline",
    parts={name: part for name, part in BASE.parts.items() if name not in ("text_encoder", "tokenizer")},
    configs=BASE.configs | {"unet": REFINER_UNET},
    tokenizers={"tokenizer_2": "!"},
    arguments={
        "text_encoder": [None, None],
        "tokenizer": [None, None],
        "force_zeros_for_empty_prompt": False,
        "requires_aesthetics_score": True,
    },
    prefixes=PREFIXES | {"text_encoder_2": ("conditioner.embedders.0.",)},
    companions={name: BASE.companions[name] for name in ("text_encoder_2", "vae")},
)


def from_nothing(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The refiner, asked for a picture from a prompt alone, starts from an empty latent under all of the noise."""
    import torch

    side = pipeline.vae_scale_factor
    empty = torch.zeros(1, LATENT.channels, request.height // side, request.width // side)
    return prompt_arguments(request, pipeline, count) | {"image": empty, "strength": 1.0}


IMG2IMG = Call("StableDiffusionXLImg2ImgPipeline", prompt_arguments)
INPAINT = Call("StableDiffusionXLInpaintPipeline", prompt_arguments)

SDXL = register(
    Family(
        name="sdxl",
        title="Stable Diffusion XL",
        tasks={
            "text_to_image": Call("StableDiffusionXLPipeline", prompt_arguments),
            "image_to_image": IMG2IMG,
            "inpaint": INPAINT,
        },
        variant_tasks={
            "inpaint": {"text_to_image": INPAINT, "inpaint": INPAINT},
            "refiner": {"text_to_image": replace(IMG2IMG, arguments=from_nothing), "image_to_image": IMG2IMG},
        },
        covers=frozenset(
            {"StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"}
        ),
        defaults=Defaults(sampler="dpmpp_2m", spacing="karras", steps=25, guidance_scale=6.0, width=1024, height=1024),
        latent=LATENT,
        encoders=("text_encoder", "text_encoder_2"),
        blueprint=BASE,
        variants={"few-step": FEW_STEP, "refiner": REFINER},
        source="stabilityai/stable-diffusion-xl-base-1.0",
    )
)
