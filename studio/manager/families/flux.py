"""FLUX.1: dev (guidance distilled into an input of the transformer) and schnell (few steps, none at all).

CFG here is that input, not two predictions; a negative prompt would need true guidance and is refused.
"""

from typing import Any

from studio.core.errors import InvalidRequest
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


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    if request.negative_prompt:
        raise InvalidRequest("FLUX.1 takes no negative prompt; leave it empty.", field="negative_prompt")
    arguments = prompt_arguments(request, pipeline, count)
    del arguments["negative_prompt"]
    return arguments


FLUX = register(
    Family(
        name="flux",
        title="FLUX.1",
        tasks={
            "text_to_image": Call("FluxPipeline", call_arguments, {"controlnet": "FluxControlNetPipeline"}),
            "image_to_image": Call(
                "FluxImg2ImgPipeline", call_arguments, {"controlnet": "FluxControlNetImg2ImgPipeline"}
            ),
            "inpaint": Call("FluxInpaintPipeline", call_arguments, {"controlnet": "FluxControlNetInpaintPipeline"}),
        },
        attachments=("lora",),
        partial_steps="ceil",
        covers=frozenset({"FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"}),
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
