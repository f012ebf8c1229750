"""Consistency models (Song et al. 2023): pixels in one or a few jumps; class-conditional ones draw their classes freely."""

from dataclasses import replace
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.manager.families.base import Call, Configs, Family, refuse_rescale, register


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """A prompt, if there is one, is the number of a class. Tensors are asked for, as of DDPM."""
    refuse_rescale(request, pipeline)
    arguments: dict[str, Any] = {"batch_size": count, "num_inference_steps": request.steps, "output_type": "pt"}
    number = class_of(request.prompt, pipeline.unet.config.num_class_embeds)
    if number is not None:
        arguments["class_labels"] = [number] * count
    return arguments


def class_of(prompt: str, classes: int | None) -> int | None:
    """The class that a prompt names by its number; None where it names none, or there are none."""
    word = prompt.strip()
    if not (classes and word):
        return None
    if not word.isdecimal() or int(word) >= classes:
        raise InvalidRequest(f"Write the number of a class, from 0 to {classes - 1}.", field="prompt")
    return int(word)


def check(request: GenerationRequest, pipeline: str, configs: Configs) -> None:
    class_of(request.prompt, configs.get("unet", {}).get("num_class_embeds"))


def _conditional(configs: Configs) -> bool:
    return bool(configs.get("unet", {}).get("num_class_embeds"))


CONSISTENCY = register(
    Family(
        name="consistency",
        title="Consistency model",
        tasks={"text_to_image": Call("ConsistencyModelPipeline", call_arguments)},
        covers=frozenset({"ConsistencyModelPipeline"}),
        check=check,
        fits=lambda configs: not _conditional(configs),
        guidance="none",
        solvers=("cm",),
        defaults=Defaults(sampler="cm", steps=1, guidance_scale=1.0, width=64, height=64),
        multiple=1,
        fixed_size=True,
        prompted=False,
        negative=False,
        guided=False,
        encoders=(),
        decoder=None,
    )
)
CLASS_CONSISTENCY = register(
    replace(
        CONSISTENCY,
        name="consistency_classes",
        title="Consistency model of classes",
        fits=_conditional,
        prompted=True,
        prompt_help="The number of one class of this model, from 0 on. Empty: a class drawn freely.",
    )
)
