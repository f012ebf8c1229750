"""Models that make pictures of one kind and one size, without a prompt: DDPM (Ho et al. 2020) and consistency models (Song
et al. 2023) in pixels, unconditional latent diffusion (Rombach et al. 2022). Some consistency models draw one of classes.
"""

from dataclasses import replace
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Call, Configs, Family, refuse_unknown, register


def latent_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    refuse_unknown(request, pipeline)
    return {"batch_size": count, "num_inference_steps": request.steps}


def pixel_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """Tensors are asked for: on its way to a picture the pipeline goes through NumPy, which knows no bf16."""
    return latent_arguments(request, pipeline, count) | {"output_type": "pt"}


def consistency_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """A prompt, if there is one, is the number of a class."""
    number = class_of(request.prompt, pipeline.unet.config.num_class_embeds)
    labels = {} if number is None else {"class_labels": [number] * count}
    return pixel_arguments(request, pipeline, count) | labels


def class_of(prompt: str, classes: int | None) -> int | None:
    """The class that a prompt names by its number; None where it names none, or there are none."""
    word = prompt.strip()
    if not (classes and word):
        return None
    if not word.isdecimal() or int(word) >= classes:
        raise InvalidRequest(f"Write the number of a class, from 0 to {classes - 1}.", field="prompt")
    return int(word)


def check(request: GenerationRequest, pipeline: str, configs: Configs) -> None:
    class_of(request.prompt, _classes(configs))


def _classes(configs: Configs) -> int | None:
    return configs.get("unet", {}).get("num_class_embeds")


DDPM = register(
    Family(
        name="ddpm",
        title="DDPM",
        tasks={"text_to_image": Call("DDPMPipeline", pixel_arguments)},
        also=frozenset({"DDIMPipeline", "PNDMPipeline"}),
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
register(
    replace(
        DDPM,
        name="ldm",
        title="Latent diffusion, unconditional",
        tasks={"text_to_image": Call("LDMPipeline", latent_arguments)},
        also=frozenset(),
        solvers=None,
        decoder="vqvae",
        precise=True,  # its pipeline goes through NumPy, which knows no bf16
    )
)
CONSISTENCY = register(
    replace(
        DDPM,
        name="consistency",
        title="Consistency model",
        tasks={"text_to_image": Call("ConsistencyModelPipeline", consistency_arguments)},
        also=frozenset(),
        fits=lambda configs: not _classes(configs),
        solvers=("cm",),
        defaults=Defaults(sampler="cm", steps=1, guidance_scale=1.0, width=64, height=64),
    )
)
register(
    replace(
        CONSISTENCY,
        name="consistency_classes",
        title="Consistency model of classes",
        check=check,
        fits=lambda configs: bool(_classes(configs)),
        prompted=True,
        prompt_help="The number of one class of this model, from 0 on. Empty: a class drawn freely.",
    )
)
