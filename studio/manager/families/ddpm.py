"""DDPM (Ho et al. 2020): unconditional, in pixels, one size. The pipeline knows neither prompt nor guidance.

And its like in latents, unconditional latent diffusion (Rombach et al. 2022).
"""

from dataclasses import replace
from typing import Any

from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Call, Family, refuse_rescale, register


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """Tensors are asked for: on its way to a picture the pipeline goes through NumPy, which knows no bf16."""
    refuse_rescale(request, pipeline)
    return {"batch_size": count, "num_inference_steps": request.steps, "output_type": "pt"}


DDPM = register(
    Family(
        name="ddpm",
        title="DDPM",
        tasks={"text_to_image": Call("DDPMPipeline", call_arguments)},
        covers=frozenset({"DDPMPipeline", "DDIMPipeline", "PNDMPipeline"}),
        guidance="none",
        # The pipeline neither scales its input nor starts from a sigma, and hands every step a generator.
        solvers=("ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "dpmpp_2s", "sa_solver"),
        defaults=Defaults(sampler="ddim", steps=50, guidance_scale=1.0, width=256, height=256),
        multiple=1,
        fixed_size=True,
        prompted=False,
        negative=False,
        guided=False,
        encoders=(),
        decoder=None,
    )
)


def latent_call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    refuse_rescale(request, pipeline)
    return {"batch_size": count, "num_inference_steps": request.steps}


LDM = register(
    replace(
        DDPM,
        name="ldm",
        title="Latent diffusion, unconditional",
        tasks={"text_to_image": Call("LDMPipeline", latent_call_arguments)},
        covers=frozenset({"LDMPipeline"}),
        solvers=None,
        decoder="vqvae",
        precise=True,  # its pipeline goes through NumPy, which knows no bf16
    )
)
