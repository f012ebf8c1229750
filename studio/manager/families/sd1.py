"""Stable Diffusion 1.x and everything of its shape: a U-Net over 4-channel latents, told by one CLIP text encoder."""

from studio.core.models import Defaults
from studio.manager.families.base import Family, LatentFormat, prompt_arguments, register

# Least-squares fit of RGB to SD 1.4 latents, as published on the Hugging Face forum
# ("Decoding latents to RGB without upscaling", keturn, 2022).
LATENT_RGB = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))
LATENT = LatentFormat(channels=4, scale=0.18215, rgb=LATENT_RGB)

SD1 = register(
    Family(
        name="sd1",
        title="Stable Diffusion 1.x",
        pipelines={
            "text_to_image": "StableDiffusionPipeline",
            "image_to_image": "StableDiffusionImg2ImgPipeline",
            "inpaint": "StableDiffusionInpaintPipeline",
        },
        covers=frozenset(
            {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"}
        ),
        call_arguments=prompt_arguments,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=7.0, width=512, height=512),
        latent=LATENT,
    )
)
