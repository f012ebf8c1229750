"""Stable Diffusion 3 and 3.5: a multimodal transformer trained by flow matching, conditioned on two CLIPs and a T5."""

from studio.core.models import Defaults
from studio.manager.families.base import (
    CLIP_G_FILE,
    CLIP_L_FILE,
    PREFIXES,
    T5_FILE,
    TEXT_PREFIXES,
    Blueprint,
    Call,
    Companion,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.flux import T5_XXL, VAE_16
from studio.manager.families.sd1 import CLIP_L
from studio.manager.families.sdxl import CLIP_G

BLUEPRINT = Blueprint(
    pipeline="StableDiffusion3Pipeline",
    parts={
        "transformer": ("diffusers", "SD3Transformer2DModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
        "tokenizer": ("transformers", "CLIPTokenizer"),
        "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
        "tokenizer_2": ("transformers", "CLIPTokenizer"),
        "text_encoder_3": ("transformers", "T5EncoderModel"),
        "tokenizer_3": ("transformers", "T5Tokenizer"),
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    },
    configs={
        "vae": VAE_16 | {"scaling_factor": 1.5305, "shift_factor": 0.0609},
        "text_encoder": CLIP_L,
        "text_encoder_2": CLIP_G,
        "text_encoder_3": T5_XXL,
        "scheduler": {"num_train_timesteps": 1000, "shift": 3.0},
    },
    tokenizers={"tokenizer": "<|endoftext|>", "tokenizer_2": "!"},
    prefixes=PREFIXES
    | {
        "text_encoder": TEXT_PREFIXES["clip_l"],
        "text_encoder_2": TEXT_PREFIXES["clip_g"],
        "text_encoder_3": TEXT_PREFIXES["t5xxl"],
    },
    companions={
        "text_encoder": CLIP_L_FILE,
        "text_encoder_2": CLIP_G_FILE,
        "text_encoder_3": T5_FILE,
        "vae": Companion("vae", "vae/sd3_vae.safetensors", family="sd3"),
    },
    optional=frozenset({"text_encoder_3"}),
    identities={"text_encoder": "text_projection.weight"},  # ViT-L's pooled text is taken as it is
)

SD3 = register(
    Family(
        name="sd3",
        title="Stable Diffusion 3 / 3.5",
        tasks={
            "text_to_image": Call("StableDiffusion3Pipeline", prompt_arguments),
            "image_to_image": Call("StableDiffusion3Img2ImgPipeline", prompt_arguments),
            "inpaint": Call("StableDiffusion3InpaintPipeline", prompt_arguments),
        },
        partial_steps="ceil",
        covers=frozenset(
            {"StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"}
        ),
        denoiser="transformer",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=5.0, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=1.5305, shift=0.0609),
        multiple=16,
        encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
        blueprint=BLUEPRINT,
        source="stabilityai/stable-diffusion-3.5-medium",
    )
)
