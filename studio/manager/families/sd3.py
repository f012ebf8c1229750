"""Stable Diffusion 3 and 3.5: a multimodal transformer trained by flow matching, conditioned on two CLIPs and a T5."""

from studio.core.models import Defaults
from studio.manager.families.base import (
    Call,
    Family,
    LatentFormat,
    prompt_arguments,
    register,
)
from studio.manager.families.blueprints import blueprint

SD3 = register(
    Family(
        name="sd3",
        title="Stable Diffusion 3 / 3.5",
        tasks={
            "text_to_image": Call(
                "StableDiffusion3Pipeline", prompt_arguments, {"controlnet": "StableDiffusion3ControlNetPipeline"}
            ),
            "image_to_image": Call("StableDiffusion3Img2ImgPipeline", prompt_arguments),
            "inpaint": Call("StableDiffusion3InpaintPipeline", prompt_arguments),
        },
        attachments=("lora",),
        partial_steps="ceil",
        covers=frozenset(
            {"StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"}
        ),
        denoiser="transformer",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=5.0, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=1.5305, shift=0.0609),
        multiple=16,
        encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
        blueprint=blueprint("sd3"),
        source="stabilityai/stable-diffusion-3.5-medium",
    )
)
