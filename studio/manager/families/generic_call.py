"""What a pipeline of the generic family is called with: all that its call accepts of a request, and no surprises.

Pipelines may rewrite a prompt with a language model, clean it, or make the nearest size they were trained at. Here the
prompt is taken as written and the size is the one asked for, wherever the call can be told so.
"""

from typing import Any

from studio.core.request import GenerationRequest
from studio.manager.families.base import accepted, prompt_arguments

# Parameters by which a call is told to do what was asked, and with what was asked.
AS_ASKED: dict[str, Any] = {
    "use_resolution_binning": False,
    "clean_caption": False,
    "enable_prompt_rewrite": False,  # by a language model that draws from no seed of ours
    "use_pe": False,
    "prompt_upsampling": False,
    "guidance_schedule": None,  # one scale for all steps: the request's
}


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """Everything that the call accepts of the request, under the names that it has for it."""
    arguments, known = prompt_arguments(request, pipeline, count), accepted(pipeline)
    arguments |= {name: value for name, value in AS_ASKED.items() if name in known}
    if "max_area" in known:  # else it would make another size of the same shape
        arguments["max_area"] = (request.width or 0) * (request.height or 0)
    return arguments | _guidance(request, pipeline, known)


def _guidance(request: GenerationRequest, pipeline: Any, known: frozenset[str]) -> dict[str, Any]:
    """CFG is the true one, of two predictions, unless the denoiser has learned to take the scale as an input."""
    scale = request.guidance_scale
    if "true_cfg_scale" not in known:
        return {"distilled_guidance_scale": scale} if "distilled_guidance_scale" in known else {}
    told = bool(getattr(getattr(pipeline.transformer, "config", None), "guidance_embeds", False))
    scales = {"true_cfg_scale": 1.0 if told else scale, "guidance_scale": scale if told else None}
    return {name: value for name, value in scales.items() if name in known}
