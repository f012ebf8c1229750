"""Every other text-to-image pipeline of the installed diffusers: offered what its own call accepts, read from its source.

Reading the source rather than importing it keeps torch out of the process that lists models.
"""

import ast
import functools
import importlib.util
import re
from dataclasses import replace
from pathlib import Path

from studio.core.models import Defaults
from studio.manager.families.base import Family, register
from studio.manager.families.generic_call import call_arguments
from studio.manager.families.pipeline_source import source_of

GENERIC = register(
    Family(
        name="generic",
        title="Other",
        pipelines={},
        covers=frozenset(),
        call_arguments=call_arguments,
        denoiser="transformer",
        guidance="told",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=4.0, width=1024, height=1024),
        multiple=16,
    )
)


@functools.cache
def call_parameters(pipeline: str) -> dict[str, bool] | None:
    """name -> whether it must be given, of a pipeline's `__call__`; None if diffusers has no such pipeline."""
    spec = importlib.util.find_spec("diffusers")
    if spec is None or not spec.submodule_search_locations or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", pipeline):
        return None
    wanted = re.compile(rf"^class {pipeline}\b", re.MULTILINE)
    for file in sorted((Path(spec.submodule_search_locations[0]) / "pipelines").rglob("pipeline_*.py")):
        text = file.read_text(encoding="utf-8")
        if wanted.search(text):
            return _parameters(text, pipeline)
    return None


def _parameters(text: str, pipeline: str) -> dict[str, bool] | None:
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == pipeline:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__call__":
                    names = [argument.arg for argument in method.args.args[1:]]
                    required = len(names) - len(method.args.defaults)
                    return {name: number < required for number, name in enumerate(names)}
    return None


# Names that calls have for the scale of guidance.
SCALES = frozenset({"guidance_scale", "true_cfg_scale", "distilled_guidance_scale"})
# In which order a pipeline's components are called, as diffusers has it for offloading them.
OFFLOADED = re.compile(r'^    model_cpu_offload_seq = "(?P<names>[^"]+)"', re.MULTILINE)
# Parameters that only calls have which start from a picture, or from another model's.
FROM_PICTURE = frozenset(
    {
        "strength", "mask_image", "control_image", "controlnet_conditioning_scale", "adapter_conditioning_scale",
        "conditioning_scale", "image_guidance_scale", "noise_level", "gligen_boxes", "source_prompt",
    }
)  # fmt: skip
# Calls of the same shape that make something else than a picture, or one from another picture.
ELSE = (
    (re.compile(r"SuperResolution|Upscal|Refiner"), "enlarges or refines another model's picture"),
    (re.compile(r"Edit(?!ing)|Pix2Pix|Layered|FunControl"), "starts from a picture"),
    (re.compile(r"Prior"), "is the first half of a pair, and makes no picture without the second"),
    (re.compile(r"Audio|Music|AceStep"), "makes sound"),
    (re.compile(r"Video|Latte"), "makes video"),
    (re.compile(r"Gemma|LLaDA"), "writes text"),
    (re.compile(r"ShapE|LDM3D"), "makes shapes in space"),
    (re.compile(r"Onnx"), "runs on another library"),
)


def refusal(pipeline: str) -> str | None:
    """Why a pipeline is not one that makes an image from a prompt and nothing else; None if it is."""
    parameters = call_parameters(pipeline)
    if parameters is None:
        return "is not a pipeline of the installed diffusers"
    for words, reason in ELSE:
        if words.search(pipeline):
            return reason
    if "num_frames" in parameters:
        return "makes video"
    if FROM_PICTURE & parameters.keys() or any(needed for name, needed in parameters.items() if name != "prompt"):
        return "starts from more than a prompt"
    return None if "prompt" in parameters else "takes no prompt"


def generic_family(pipeline: str, denoiser: str) -> Family | None:
    """The family of a pipeline that makes an image from a prompt and nothing else; None for any other pipeline."""
    parameters = call_parameters(pipeline)
    if parameters is None or refusal(pipeline):
        return None
    encoders, decoder = stages(pipeline, denoiser)
    return replace(
        GENERIC,
        title=pipeline.removesuffix("Pipeline"),
        pipelines={"text_to_image": pipeline},
        denoiser=denoiser,
        negative="negative_prompt" in parameters,
        guided=not parameters.keys().isdisjoint(SCALES),
        encoders=encoders,
        decoder=decoder,
        alone=_takes_one_generator(pipeline),
    )


def stages(pipeline: str, denoiser: str) -> tuple[tuple[str, ...], str | None]:
    """(encoders, decoder): the components that the pipeline calls before its denoiser, and the one that it calls last."""
    source = source_of(pipeline)
    told = OFFLOADED.search(source.text) if source else None
    names = told["names"].split("->") if told else []
    if denoiser not in names:
        return GENERIC.encoders, GENERIC.decoder
    place = names.index(denoiser)
    after = names[place + 1 :]
    return tuple(names[:place]), after[-1] if after else None


def _takes_one_generator(pipeline: str) -> bool:
    """A call that asks its generator for its seed has no use for a list of them."""
    source = source_of(pipeline)
    return source is not None and "generator.initial_seed()" in source.text
