"""PixArt alpha and sigma: a diffusion transformer over 4-channel latents, cross-attending to a text encoder."""

from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Call, Family, LatentFormat, prompt_arguments, register
from studio.manager.families.sd1 import LATENT_RGB


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """The size asked for is the size made, and the prompt is taken as written (cleaning needs packages not shipped)."""
    arguments = prompt_arguments(request, pipeline, count)
    return arguments | {"use_resolution_binning": False, "clean_caption": False}


PIXART = register(
    Family(
        name="pixart",
        title="PixArt",
        tasks={
            "text_to_image": Call("PixArtAlphaPipeline", call_arguments),
            "image_to_image": Call("PixArtAlphaPipeline", call_arguments),
        },
        covers=frozenset({"PixArtAlphaPipeline", "PixArtSigmaPipeline"}),
        alternatives=frozenset({"PixArtSigmaPipeline"}),
        denoiser="transformer",
        learned_variance=True,
        defaults=Defaults(sampler="dpmpp_2m", steps=20, guidance_scale=4.5, width=1024, height=1024),
        latent=LatentFormat(channels=4, scale=0.18215, rgb=LATENT_RGB),
    )
)
