"""Stable Diffusion 1.x and everything of its shape: a U-Net over 4-channel latents, conditioned on one CLIP text encoder."""

from studio.core.models import Defaults
from studio.manager.families.base import (
    Call,
    Configs,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.blueprints import blueprint

# Least-squares fit of RGB to SD 1.4 latents, as published on the Hugging Face forum
# ("Decoding latents to RGB without upscaling", keturn, 2022).
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
LATENT = LatentFormat(channels=4, scale=0.18215, rgb=LATENT_RGB)


def text_width(configs: Configs) -> int | None:
    return configs.get("unet", {}).get("cross_attention_dim")


INPAINT = Call(
    "StableDiffusionInpaintPipeline", prompt_arguments, {"controlnet": "StableDiffusionControlNetInpaintPipeline"}
)

SD1 = register(
    Family(
        name="sd1",
        title="Stable Diffusion 1.x",
        tasks={
            "text_to_image": Call(
                "StableDiffusionPipeline", prompt_arguments, {"controlnet": "StableDiffusionControlNetPipeline"}
            ),
            "image_to_image": Call(
                "StableDiffusionImg2ImgPipeline",
                prompt_arguments,
                {"controlnet": "StableDiffusionControlNetImg2ImgPipeline"},
            ),
            "inpaint": INPAINT,
        },
        attachments=("lora",),
        variant_tasks={"inpaint": {"text_to_image": INPAINT, "inpaint": INPAINT}},
        covers=frozenset(
            {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"}
        ),
        fits=lambda configs: text_width(configs) != 1024,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=7.0, width=512, height=512),
        latent=LATENT,
        blueprint=blueprint("sd1"),
        source="stable-diffusion-v1-5/stable-diffusion-v1-5",
    )
)
