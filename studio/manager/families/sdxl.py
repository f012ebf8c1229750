"""Stable Diffusion XL: base, inpainting, turbo and lightning; two text encoders, sizes given to the U-Net."""

from dataclasses import replace
from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import (
    Call,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.blueprints import blueprint

# RGB in -1..1 from the latent, after "Explaining the SDXL latent space" (Hugging Face blog, T. Alexis Vass, 2024).
LATENT = LatentFormat(
    channels=4,
    scale=0.13025,
    rgb=((0.4706, 0.4706, 0.4706), (-0.4706, -0.0392, 0.0784), (0.1961, 0.1176, -0.0392), (-0.5490, -0.3922, -0.2745)),
    bias=(0.1765, 0.0980, 0.0196),
)


def from_nothing(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The refiner, asked for a picture from a prompt alone, starts from an empty latent under all of the noise."""
    import torch

    side = pipeline.vae_scale_factor
    empty = torch.zeros(1, LATENT.channels, request.height // side, request.width // side)
    return prompt_arguments(request, pipeline, count) | {"image": empty, "strength": 1.0}


IMG2IMG = Call(
    "StableDiffusionXLImg2ImgPipeline", prompt_arguments, {"controlnet": "StableDiffusionXLControlNetImg2ImgPipeline"}
)
INPAINT = Call(
    "StableDiffusionXLInpaintPipeline", prompt_arguments, {"controlnet": "StableDiffusionXLControlNetInpaintPipeline"}
)

SDXL = register(
    Family(
        name="sdxl",
        title="Stable Diffusion XL",
        tasks={
            "text_to_image": Call(
                "StableDiffusionXLPipeline", prompt_arguments, {"controlnet": "StableDiffusionXLControlNetPipeline"}
            ),
            "image_to_image": IMG2IMG,
            "inpaint": INPAINT,
        },
        attachments=("lora",),
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
        blueprint=blueprint("sdxl"),
        # Few-step models (turbo, lightning) must begin at pure noise: their grid is "trailing". The refiner is wider and has
        # the second text encoder alone.
        variants={name: blueprint(f"sdxl-{name}") for name in ("few-step", "refiner")},
        source="stabilityai/stable-diffusion-xl-base-1.0",
    )
)
