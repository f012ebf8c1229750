"""Every other text-to-image pipeline of the installed diffusers: offered what its own call accepts, read from its source.

A pipeline may denoise in several loops, a prior before a decoder or larger pictures after smaller ones, each with a
scheduler of its own; what is asked of a model is asked of the loop that follows the prompt most. Imports no torch.
"""

import ast
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import Defaults
from studio.core.request import GenerationRequest
from studio.core.samplers import SOLVERS
from studio.manager.families.base import Configs, Family, LatentFormat, Loop, prompt_arguments, register
from studio.manager.families.pipeline_source import NEEDED, Source, source_of, step_parameters

SCHEDULER = "scheduler"
TRUE = "true_cfg_scale"
GUIDER = "guider"  # a component that guides, as its configuration says
# What the component that predicts is called, by what stands before the name of its scheduler.
DENOISERS = {"": ("transformer", "unet", "image_unet", "decoder"), "prior_": ("prior_prior", "prior")}
# A MoVQ's latents are denoised as they are, whatever scale its configuration names.
LATENTS = {"movq": LatentFormat(channels=4, settled=True), "vqgan": LatentFormat(channels=4, positive=True)}
DECODERS = ("vae", "vqvae", "movq", "vqgan")
ENCODERS = re.compile(r"encoder|embeddings$|^text_decoder$|^bert$|^text_proj$|^mllm$")
# Said of no configuration: sizes that a cascade's ratios come out even at, and the size that it was trained for.
STRIDES = {"StableCascadeCombinedPipeline": 128, "WuerstchenCombinedPipeline": 128}
SIDES = {"StableCascadeCombinedPipeline": 1024, "WuerstchenCombinedPipeline": 1024}
# Of several pictures these give the denoiser two timesteps in all, pair the wrong prompts, or take many generators for one.
ALONE = frozenset(
    {"PRXPipeline", "PRXPixelPipeline", "StableDiffusionPanoramaPipeline", "UniDiffuserPipeline", "VQDiffusionPipeline"}
)
# A list of sizes, one of which a call takes in place of the wish; and what half precision has no numbers for.
SIZES = re.compile(r"self\.resolutions = (\[[^\]]*\])")
FULL_ONLY = ("permute(0, 2, 3, 1).numpy()", '["antialias"] = True')
GUIDED_ONLY = frozenset({"HunyuanDiTPAGPipeline"})  # perturbs a prediction that is there only where it is guided
OF_ONE_SIZE = frozenset({"UniDiffuserPipeline"})  # its transformer knows the places of one size's patches
WITHOUT_NEGATIVE = frozenset({"UniDiffuserPipeline"})  # reads a negative prompt and does nothing with it
# Latent cells that a size is to be a multiple of, and pictures of one area alone, as pipelines write it.
CELLS = re.compile(r"% \(self\.vae_scale_factor \* (\d+)\)|divisible by \{self\.vae_scale_factor \* (\d+)\}")
COUNTING, COPYING = "torch.zeros((num_inference_steps", "copy.deepcopy(self.scheduler"
AREA = re.compile(r"S_max = \(self\.default_sample_size \* self\.vae_scale_factor\) \*\* 2")
SIDE = re.compile(r"self\.default_sample_size = (\d+)")
DISTILLED_STEPS = 8  # of models that call themselves so; their pipelines' own default is their teachers'
# Noise levels that UniPC takes as they come: what FLUX began, and most flow pipelines since have kept.
LEVELS = ("np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)", "mu=mu")
# Parameters by which a call is told to take the prompt as written, and to make the size, that were asked for.
AS_WRITTEN: dict[str, Any] = {
    "use_resolution_binning": False,
    "clean_caption": False,
    "enable_prompt_rewrite": False,  # by a language model that draws from no seed of ours
    "use_pe": False,
    "prompt_upsampling": False,
    "guidance_schedule": None,  # one scale for all steps
}


def check(request: GenerationRequest, pipeline: str, configs: Configs) -> None:
    if request.guidance_scale <= 1 and pipeline in GUIDED_ONLY:
        raise InvalidRequest(f"{pipeline} works with a CFG above 1 only.", field="guidance_scale")


def call_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """What is left out is the pipeline's own: a negative prompt that nobody gave, the steps of its other loops.

    Where a call tells true guidance from a distilled one, CFG is the true one.
    """
    check(request, type(pipeline).__name__, {})
    arguments = prompt_arguments(request, pipeline, count)
    source = source_of(type(pipeline).__name__)
    assert source is not None
    known, main = source.call, _main(source, loops_of(source))
    if "num_images_per_prompt" not in known:
        arguments["prompt"] = [request.prompt] * count
    if not request.negative_prompt and "true_cfg_scale" not in known:
        arguments.pop("negative_prompt", None)
    arguments |= {name: value for name, value in AS_WRITTEN.items() if name in known}
    arguments.pop("num_inference_steps", None)
    arguments |= {main.steps: request.steps}
    if "max_area" in known:  # else it would make another size of the same shape
        arguments["max_area"] = (request.width or 0) * (request.height or 0)
    if "intermediate_timesteps" in known and request.steps != 2:  # where the first of two steps ends
        arguments["intermediate_timesteps"] = None
    arguments.pop("guidance_scale", None)
    return arguments | _scales(request.guidance_scale, pipeline, known, _guidance(source, main))


def _scales(scale: float, pipeline: Any, known: Collection[str], guidance: str | None) -> dict[str, float]:
    """CFG is the true one, of two predictions, unless the denoiser has learned to take the scale as an input."""
    if guidance is None:
        return {}
    config = getattr(getattr(pipeline, "transformer", None), "config", None)
    if guidance == TRUE and "guidance_scale" in known and getattr(config, "guidance_embeds", False):
        return {TRUE: 1.0, "guidance_scale": scale}
    return {guidance: scale}


GENERIC = register(
    Family(
        name="generic",
        title="Other",
        pipelines={},
        covers=frozenset(),
        call_arguments=call_arguments,
        check=check,
        denoiser="transformer",
        guidance="inferred",
        defaults=Defaults(sampler="flow_euler", steps=28, guidance_scale=4.0, width=1024, height=1024),
        multiple=16,
    )
)


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
    (re.compile(r"^Cosmos2TextToImage"), "is not made without NVIDIA's guardrail, a package and models of its own"),
    (
        re.compile(r"ScoreSde|KarrasVe"),
        "corrects its picture at every step, in a way that could not be shown or stopped",
    ),
    (re.compile(r"Paradigms"), "denoises many steps at once, so that none of them could be shown or stopped"),
)


def refusal(pipeline: str) -> str | None:
    """Why a pipeline is not one that makes an image from a prompt and nothing else; None if it is."""
    source = source_of(pipeline)
    if source is None:
        return "is not a pipeline of the installed diffusers"
    for words, reason in ELSE:
        if words.search(pipeline):
            return reason
    if "num_frames" in source.call:
        return "makes video"
    needed = {name for name, default in source.call.items() if default is NEEDED and name not in ("prompt", "kwargs")}
    if needed or FROM_PICTURE & source.call.keys():
        return "starts from more than a prompt"
    return None if "prompt" in source.call else "takes no prompt"


def generic_family(pipeline: str) -> Family | None:
    """The family of a pipeline that makes an image from a prompt and nothing else; None for any other pipeline."""
    source = source_of(pipeline)
    if source is None or refusal(pipeline):
        return None
    loops = loops_of(source)
    main = _main(source, loops)
    reads_codes = ".quantize." in source.text  # from its decoder's book, before the decoder is called
    decoder = next((name for name in DECODERS if name in source.parts and not reads_codes), None)
    before = {part for loop in loops[: loops.index(main)] for part in loop.denoisers}
    encoders = tuple(part for part in source.parts if ENCODERS.search(part) or part in before)
    return replace(
        GENERIC,
        title=pipeline.removesuffix("Pipeline"),
        pipelines={"text_to_image": pipeline},
        denoiser=main.denoisers[0],
        loops=loops,
        scheduler=main.scheduler,
        encoders=encoders,
        decoder=decoder,
        latent=LATENTS.get(decoder or ""),
        negative="negative_prompt" in source.call and pipeline not in WITHOUT_NEGATIVE,
        guided=_guidance(source, main) is not None,
        solvers=_solvers(source),
        defaults=_defaults(pipeline, source, main),
        multiple=STRIDES.get(pipeline, GENERIC.multiple),
        needs=source.needs,
        cells_first="patch, patch, ae_channels" in source.text,
        cells=max((int(cells) for row in CELLS.findall(source.text) for cells in row if cells), default=1),
        area=int(side[1]) if AREA.search(source.text) and (side := SIDE.search(source.text)) else None,
        fixed_size="width" not in source.call or pipeline in OF_ONE_SIZE,
        sizes=ast.literal_eval(sizes[1]) if (sizes := SIZES.search(source.text)) else (),
        precise=any(word in source.text for word in FULL_ONLY),
        alone=not source.lists_generators or pipeline in ALONE or "generator.initial_seed()" in source.text,
    )


def fitted(family: Family, index: dict[str, Any], configs: Configs) -> Family:
    """A generic family as a folder narrows it, by its model_index.json and its components' configurations.

    Distilled models are guided no more, or by a number that their denoiser takes; then nothing is done with a negative
    prompt.
    """
    if family.name != GENERIC.name:
        return family
    source = source_of(family.pipelines["text_to_image"])
    assert source is not None
    takes_scale = bool(configs.get(family.denoiser, {}).get("guidance_embeds"))
    unguided = bool(index.get("is_distilled")) or (GUIDER in source.parts and index.get(GUIDER) in (None, [None, None]))
    told = takes_scale and not {TRUE, GUIDER}.isdisjoint({*source.call, *source.parts})
    scale = configs.get(GUIDER, {}).get("guidance_scale")
    guidance = scale if isinstance(scale, int | float) else 1.0 if unguided and not takes_scale else None
    own = {} if guidance is None else {"guidance_scale": guidance}
    steps = {"steps": DISTILLED_STEPS} if index.get("is_distilled") else {}
    return replace(
        family,
        guided=family.guided and (takes_scale or not unguided),
        negative=family.negative and not (told or unguided),
        defaults=family.defaults.model_copy(update=own | steps),
    )


def loops_of(source: Source) -> tuple[Loop, ...]:
    """Its denoising loops in the order in which they run, one for each scheduler that it is made with."""
    names = [part for part in source.parts if part.endswith(SCHEDULER)]
    names.sort(key=lambda name: not name.startswith("prior_"))
    return tuple(_loop(source, name.removesuffix(SCHEDULER)) for name in names) or (_loop(source, ""),)


def _loop(source: Source, before: str) -> Loop:
    named = DENOISERS.get(before) or (before.removesuffix("_"),)
    one = next((name for name in named if name in source.parts), None)
    twins = tuple(part for part in source.parts if one and part.endswith(f"_{one}") and not before)
    several = tuple(part for part in source.parts if part.startswith(before) and part != before + SCHEDULER)
    return Loop((one, *twins) if one else several, before + SCHEDULER, f"{before}num_inference_steps")


def _main(source: Source, loops: tuple[Loop, ...]) -> Loop:
    """The last loop that its call guides unless told otherwise: what comes after only adds detail."""
    guided = [loop for loop in loops if (name := _guidance(source, loop)) and (source.call[name] or 0) > 1]
    return (guided or list(loops))[-1]


def _guidance(source: Source, loop: Loop) -> str | None:
    """The call's parameter for the loop's guidance."""
    before = loop.scheduler.removesuffix(SCHEDULER)
    plain = (TRUE, "guidance_scale", "decoder_guidance_scale", "distilled_guidance_scale")
    names = (f"{before}guidance_scale",) if before else plain
    return next((name for name in names if name in source.call), None)


def _solvers(source: Source) -> tuple[str, ...] | None:
    """The samplers that can take the place of its scheduler; None: any.

    A call that never scales its state for the denoiser, or reckons with the training schedule itself, takes only those
    that keep the state at the data's scale; one that hands its steps a generator, only those that take one; one that
    keeps an estimate of each step, those that ask once a step; one that copies its scheduler, those that can be copied.
    """
    any_scale = "scale_model_input" in source.text and "alphas_cumprod" not in source.text
    hands_generator = source.calls_with("step", "generator")
    counts_calls, copies = COUNTING in source.text, COPYING in source.text
    if any_scale and not (hands_generator or counts_calls or copies):
        return None
    return tuple(
        name
        for name, solver in SOLVERS.items()
        if solver.families is None
        and not solver.distilled
        and (name != "flow_unipc" or all(words in source.text for words in LEVELS))
        and (any_scale or not solver.scales_input)
        and not (counts_calls and (solver.evaluations > 1 or solver.runge_kutta))
        and not (copies and solver.brownian)
        and (not hands_generator or not solver.scheduler or "generator" in step_parameters(solver.scheduler))
    )


def _defaults(pipeline: str, source: Source, main: Loop) -> Defaults:
    """As its call has them. The sampler is the folder's to tell."""
    guidance = _guidance(source, main)
    side = SIDES.get(pipeline)
    told = {
        "steps": source.call.get(main.steps),
        "guidance_scale": source.call.get(guidance) if guidance else 1.0,
        "width": side or source.call.get("width"),
        "height": side or source.call.get("height"),
    }
    plain = {name: value for name, value in told.items() if isinstance(value, int | float) and value > 0}
    return GENERIC.defaults.model_copy(update=plain)
