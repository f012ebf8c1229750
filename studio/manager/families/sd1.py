"""Stable Diffusion 1.x and everything of its shape: a U-Net over 4-channel latents, conditioned on one CLIP text encoder."""

from studio.core.models import Defaults
from studio.manager.families.base import (
    CLIP_L_FILE,
    Blueprint,
    Call,
    Companion,
    Configs,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)

# Least-squares fit of RGB to SD 1.4 latents, as published on the Hugging Face forum
# ("Decoding latents to RGB without upscaling", keturn, 2022).
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
LATENT = LatentFormat(channels=4, scale=0.18215, rgb=LATENT_RGB)


def text_width(configs: Configs) -> int | None:
    return configs.get("unet", {}).get("cross_attention_dim")


SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
BLUEPRINT = Blueprint(
    pipeline="StableDiffusionPipeline",
    parts={
        "unet": ("diffusers", "UNet2DConditionModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModel"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "scheduler": ("diffusers", "PNDMScheduler"),
    },
    configs={
        "unet": {
            "in_channels": 4,
            "out_channels": 4,
            "sample_size": 64,
            "block_out_channels": [320, 640, 1280, 1280],
            "layers_per_block": 2,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
            "attention_head_dim": 8,
            "cross_attention_dim": 768,
        },
        "vae": VAE,
        "text_encoder": CLIP_L,
        "scheduler": SCHEDULER,
    },
    tokenizers={"tokenizer": "<|endoftext|>"},
    arguments={"requires_safety_checker": False, "safety_checker": [None, None], "feature_extractor": [None, None]},
    companions={
        "text_encoder": CLIP_L_FILE,
        "vae": Companion("vae", "vae/vae-ft-mse-840000-ema-pruned.safetensors", family="sd1"),
    },
)
INPAINT = Call("StableDiffusionInpaintPipeline", prompt_arguments)

SD1 = register(
    Family(
        name="sd1",
        title="Stable Diffusion 1.x",
        tasks={
            "text_to_image": Call("StableDiffusionPipeline", prompt_arguments),
            "image_to_image": Call("StableDiffusionImg2ImgPipeline", prompt_arguments),
            "inpaint": INPAINT,
        },
        variant_tasks={"inpaint": {"text_to_image": INPAINT, "inpaint": INPAINT}},
        covers=frozenset(
            {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"}
        ),
        fits=lambda configs: text_width(configs) != 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=7.0, width=512, height=512),
        latent=LATENT,
        blueprint=BLUEPRINT,
        source="stable-diffusion-v1-5/stable-diffusion-v1-5",
    )
)
