"""Every other text-to-image pipeline of diffusers, offered as its row of `pipelines.json` says that its call can be used.

A pipeline may denoise in several loops, a prior before a decoder or larger pictures after smaller ones, each with a
scheduler of its own; a request's sampler, steps and CFG are for the loop that follows the prompt most. Imports no torch.
"""

from dataclasses import replace
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.core.samplers import SOLVERS
from studio.core.solvers import Solver
from studio.manager.families.base import Call, Configs, Family, LatentFormat, Loop, prompt_arguments, register
from studio.manager.families.pipeline_table import Row, row_of, takes_generator

TRUE_SCALE = "true_cfg_scale"  # CFG of two predictions, where `guidance_scale` is a number that the denoiser takes
GUIDER = "guider"  # a component that guides, as its configuration says
# A MoVQ's latents are denoised as they are, whatever scale its configuration names.
LATENTS = {"movq": LatentFormat(channels=4, settled=True), "vqgan": LatentFormat(channels=4, positive=True)}
# What a row says of a family, and of its defaults (but for the sampler, of which a folder's own scheduler says more).
SAME = (
    "alone", "area", "cells", "cells_first", "decoder", "encoders", "fixed_size", "multiple", "needs", "negative", "precise", "sizes",
    "whole_timesteps",
)  # fmt: skip
RUN_DEFAULTS = ("steps", "guidance_scale", "width", "height")
DISTILLED_STEPS = 8  # of models that call themselves so; their pipelines' own default is their teachers'
# Arguments with which a call takes the prompt as written and makes the size that was asked for.
AS_WRITTEN: dict[str, Any] = {
    "use_resolution_binning": False,
    "clean_caption": False,
    "enable_prompt_rewrite": False,  # by a language model that draws from no seed of ours
    "use_pe": False,
    "prompt_upsampling": False,
    "guidance_schedule": None,  # one scale for all steps
}


def check(request: GenerationRequest, pipeline: str, configs: Configs) -> None:
    row = row_of(pipeline)
    if request.guidance_scale <= 1 and row is not None and row.guided_only:
        raise InvalidRequest(f"{pipeline} works with a CFG above 1 only.", field="guidance_scale")


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """What is left out is the pipeline's own: a negative prompt that nobody gave, the steps of its other loops."""
    name = type(pipeline).__name__
    check(request, name, {})
    row = row_of(name)
    assert row is not None
    arguments = prompt_arguments(request, pipeline, count)
    if "num_images_per_prompt" not in row.takes:
        arguments["prompt"] = [request.prompt] * count
    if not request.negative_prompt and TRUE_SCALE not in row.takes:
        arguments.pop("negative_prompt", None)
    arguments |= {name: value for name, value in AS_WRITTEN.items() if name in row.takes}
    arguments.pop("num_inference_steps", None)
    arguments |= {_main(row).steps: request.steps}
    if "max_area" in row.takes:  # else it would make another size of the same shape
        arguments["max_area"] = (request.width or 0) * (request.height or 0)
    if "intermediate_timesteps" in row.takes and request.steps != 2:  # where the first of two steps ends
        arguments["intermediate_timesteps"] = None
    arguments.pop("guidance_scale", None)
    return arguments | _scales(request.guidance_scale, pipeline, row)


def _scales(scale: float, pipeline: Any, row: Row) -> dict[str, float]:
    """CFG is the true one, of two predictions, unless the denoiser has learned to take the scale as an input."""
    if row.guidance is None:
        return {}
    config = getattr(getattr(pipeline, "transformer", None), "config", None)
    if row.guidance == TRUE_SCALE and "guidance_scale" in row.takes and getattr(config, "guidance_embeds", False):
        return {TRUE_SCALE: 1.0, "guidance_scale": scale}
    return {row.guidance: scale}


GENERIC = register(
    Family(
        name="generic",
        title="Other",
        tasks={},
        check=check,
        denoiser="transformer",
        guidance="inferred",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=4.0, width=1024, height=1024),
        multiple=16,
    )
)


def refusal(pipeline: str) -> str | None:
    """Why a pipeline is not one that makes an image from a prompt and nothing else; None if it is."""
    row = row_of(pipeline)
    return "is not a pipeline of the installed diffusers" if row is None else row.refused or None


def generic_family(pipeline: str) -> Family | None:
    """The family of a pipeline that makes an image from a prompt and nothing else; None for any other pipeline."""
    row = row_of(pipeline)
    if row is None or row.refused:
        return None
    main = _main(row)
    return replace(
        GENERIC,
        title=pipeline.removesuffix("Pipeline"),
        tasks={"text_to_image": Call(pipeline, call_arguments)},
        denoiser=main.denoisers[0],
        loops=loops_of(row),
        scheduler=main.scheduler,
        latent=LATENTS.get(row.decoder or ""),
        guided=row.guidance is not None,
        solvers=_solvers(row),
        defaults=GENERIC.defaults.model_copy(update={name: getattr(row, name) for name in RUN_DEFAULTS}),
        **{name: getattr(row, name) for name in SAME},
    )


def fitted(family: Family, index: dict[str, Any], configs: Configs) -> Family:
    """A generic family as a folder narrows it, by its model_index.json and its components' configurations.

    Distilled models are guided no more, or by a number that their denoiser takes; then nothing is done with a negative
    prompt.
    """
    row = row_of(str(index.get("_class_name")))
    if family.name != GENERIC.name or row is None:
        return family
    distilled = bool(index.get("is_distilled"))
    takes_scale = bool(configs.get(family.denoiser, {}).get("guidance_embeds"))
    unguided = distilled or (row.guider and index.get(GUIDER) in (None, [None, None]))
    by_number = takes_scale and (TRUE_SCALE in row.takes or row.guider)
    scale = configs.get(GUIDER, {}).get("guidance_scale")
    guidance = scale if isinstance(scale, int | float) else 1.0 if unguided and not takes_scale else None
    own = {} if guidance is None else {"guidance_scale": guidance}
    steps = {"steps": DISTILLED_STEPS} if distilled else {}
    return replace(
        family,
        guided=family.guided and (takes_scale or not unguided),
        negative=family.negative and not (by_number or unguided),
        defaults=family.defaults.model_copy(update=own | steps),
    )


def loops_of(row: Row) -> tuple[Loop, ...]:
    """Its denoising loops in the order in which they run."""
    return tuple(
        Loop(denoisers, scheduler, f"{scheduler.removesuffix('scheduler')}num_inference_steps")
        for scheduler, denoisers in row.loops.items()
    )


def _main(row: Row) -> Loop:
    return next(loop for loop in loops_of(row) if loop.scheduler == row.main)


def _solvers(row: Row) -> tuple[str, ...] | None:
    """The samplers that can take the place of its scheduler; None: any."""
    if not (row.unscaled or row.passes_generator or row.one_call_a_step or row.copies_scheduler):
        return None
    return tuple(name for name, solver in SOLVERS.items() if _fits(row, solver))


def _fits(row: Row, solver: Solver) -> bool:
    return (
        solver.families is None
        and not solver.distilled
        and (solver.name != "flow_unipc" or row.flow_levels)
        and not (row.unscaled and solver.scales_input)
        and not (row.one_call_a_step and (solver.evaluations > 1 or solver.runge_kutta))
        and not (row.copies_scheduler and (solver.brownian or solver.adaptive))
        and not (row.passes_generator and solver.scheduler and not takes_generator(solver.scheduler))
    )
