"""Stable Diffusion 1, 2 and XL, and latent consistency models: U-Nets over 4-channel latents, conditioned on CLIP's encoders."""

from dataclasses import replace
from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Configs, Family, LatentFormat, calls_of, prompt_arguments, register
from studio.manager.families.blueprints import blueprint

# Least-squares fit of RGB to SD 1.4 latents, as published on the Hugging Face forum
# ("Decoding latents to RGB without upscaling", keturn, 2022).
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
LATENT = LatentFormat(channels=4, scale=0.18215, rgb=LATENT_RGB)
# RGB in -1..1 from the latent, after "Explaining the SDXL latent space" (Hugging Face blog, T. Alexis Vass, 2024).
XL_LATENT = LatentFormat(
    channels=4,
    scale=0.13025,
    rgb=((0.4706, 0.4706, 0.4706), (-0.4706, -0.0392, 0.0784), (0.1961, 0.1176, -0.0392), (-0.5490, -0.3922, -0.2745)),
    bias=(0.1765, 0.0980, 0.0196),
)
CALLS, XL_CALLS = calls_of("StableDiffusion", adapter=True), calls_of("StableDiffusionXL", union=True, adapter=True)
LCM_CALLS = calls_of("LatentConsistencyModel", tasks=("text_to_image", "image_to_image"), controlnet=())


def _text_width(configs: Configs) -> int | None:
    """1024 in SD 2, whose folders name the pipeline classes of SD 1."""
    return configs.get("unet", {}).get("cross_attention_dim")


def from_nothing(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The refiner, asked for a picture from a prompt alone, starts from an empty latent under all of the noise."""
    import torch

    side = pipeline.vae_scale_factor
    empty = torch.zeros(1, XL_LATENT.channels, request.height // side, request.width // side)
    return prompt_arguments(request, pipeline, count) | {"image": empty, "strength": 1.0}


SD1 = register(
    Family(
        name="sd1",
        title="Stable Diffusion 1.x",
        tasks=CALLS,
        attachments=("lora", "embedding", "ip_adapter"),
        variant_tasks={"inpaint": {"text_to_image": CALLS["inpaint"], "inpaint": CALLS["inpaint"]}},
        fits=lambda configs: _text_width(configs) != 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=7.0, width=512, height=512),
        latent=LATENT,
        blueprint=blueprint("sd1"),
        source="stable-diffusion-v1-5/stable-diffusion-v1-5",
    )
)
# OpenCLIP ViT-H for text; its 768 px models predict v, its base models noise.
register(
    replace(
        SD1,
        name="sd2",
        title="Stable Diffusion 2.x",
        fits=lambda configs: _text_width(configs) == 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=25, guidance_scale=7.0, width=768, height=768),
        blueprint=blueprint("sd2"),
        source="stabilityai/stable-diffusion-2-1",
    )
)
# Luo et al. 2023: the guidance scale is an input of the U-Net, 1 to 8 steps.
register(
    replace(
        SD1,
        name="lcm",
        title="Latent consistency model",
        tasks=LCM_CALLS | {"inpaint": LCM_CALLS["image_to_image"]},
        variant_tasks={},
        guidance="none",
        negative=False,
        solvers=("lcm",),
        defaults=Defaults(sampler="lcm", steps=4, guidance_scale=8.5, width=512, height=512),
        blueprint=None,
        source="SimianLuo/LCM_Dreamshaper_v7",
    )
)
# Two text encoders, sizes given to the U-Net.
register(
    Family(
        name="sdxl",
        title="Stable Diffusion XL",
        tasks=XL_CALLS,
        attachments=("lora", "embedding", "ip_adapter"),
        variant_tasks={
            "inpaint": {"text_to_image": XL_CALLS["inpaint"], "inpaint": XL_CALLS["inpaint"]},
            "refiner": {
                "text_to_image": replace(XL_CALLS["image_to_image"], arguments=from_nothing),
                "image_to_image": XL_CALLS["image_to_image"],
                "inpaint": XL_CALLS["image_to_image"],
            },
        },
        defaults=Defaults(sampler="dpmpp_2m", spacing="karras", steps=25, guidance_scale=6.0, width=1024, height=1024),
        latent=XL_LATENT,
        encoders=("text_encoder", "text_encoder_2"),
        blueprint=blueprint("sdxl"),
        # Few-step models (turbo, lightning) must begin at pure noise: their grid is "trailing". The refiner is wider and has
        # the second text encoder alone.
        variants={name: blueprint(f"sdxl-{name}") for name in ("few-step", "refiner")},
        source="stabilityai/stable-diffusion-xl-base-1.0",
    )
)
