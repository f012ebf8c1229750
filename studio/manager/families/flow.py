"""Transformers trained by flow matching, conditioned on CLIP and T5: Stable Diffusion 3 and 3.5, and FLUX.1.

CFG of FLUX.1 is an input of its transformer (distilled into dev, absent from schnell), not two predictions: a negative
prompt would need those and is refused.
"""

from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Family, LatentFormat, calls_of, prompt_arguments, register
from studio.manager.families.blueprints import blueprint


def flux_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    if request.negative_prompt:
        raise InvalidRequest("FLUX.1 takes no negative prompt; leave it empty.", field="negative_prompt")
    arguments = prompt_arguments(request, pipeline, count)
    del arguments["negative_prompt"]
    return arguments


register(
    Family(
        name="sd3",
        title="Stable Diffusion 3 / 3.5",
        tasks=calls_of("StableDiffusion3", controlnet=("text_to_image",)),
        attachments=("lora",),
        partial_steps="ceil",
        denoiser="transformer",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=5.0, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=1.5305, shift=0.0609),
        multiple=16,
        encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
        blueprint=blueprint("sd3"),
        source="stabilityai/stable-diffusion-3.5-medium",
    )
)
register(
    Family(
        name="flux",
        title="FLUX.1",
        tasks=calls_of("Flux", flux_arguments),
        attachments=("lora",),
        partial_steps="ceil",
        denoiser="transformer",
        guidance="none",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=3.5, width=1024, height=1024),
        latent=LatentFormat(channels=16, scale=0.3611, shift=0.1159),
        multiple=16,
        negative=False,
        encoders=("text_encoder", "text_encoder_2"),
        blueprint=blueprint("flux"),
        source="black-forest-labs/FLUX.1-dev",
    )
)
