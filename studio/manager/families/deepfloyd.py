"""DeepFloyd IF, stage one: pixels at 64 px from a frozen T5, in the manner of Imagen (Saharia et al. 2022)."""

from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Family, prompt_arguments, register


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The prompt is taken as written: cleaning needs packages that are not shipped."""
    return prompt_arguments(request, pipeline, count) | {"clean_caption": False}


DEEPFLOYD = register(
    Family(
        name="deepfloyd",
        title="DeepFloyd IF",
        pipelines={
            "text_to_image": "IFPipeline",
            "image_to_image": "IFImg2ImgPipeline",
            "inpaint": "IFInpaintingPipeline",
        },
        covers=frozenset({"IFPipeline", "IFImg2ImgPipeline", "IFInpaintingPipeline"}),
        call_arguments=call_arguments,
        learned_variance=True,
        solvers=("ddpm",),
        defaults=Defaults(sampler="ddpm", steps=50, guidance_scale=7.0, width=64, height=64),
        decoder=None,
    )
)
