"""What a family of models is: one frozen value naming its pipelines, its denoiser, how it guides and what it is called with.

A family is data plus two small functions. It imports neither torch nor diffusers: pipeline classes are named, and the
manager finds them. Nothing here knows of a device, a file or a sampler's workings.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from studio.core.errors import InvalidRequest
from studio.core.models import Capabilities, Defaults
from studio.core.parts import PARTS
from studio.core.registry import Registry
from studio.core.request import GenerationRequest
from studio.core.samplers import spacing_of
from studio.manager.families.blueprints import Blueprint
from studio.manager.families.pipeline_table import accepts

Guidance = Literal["batch", "two_calls", "none", "inferred"]
Configs = dict[str, dict[str, Any]]  # component -> its configuration
CallArguments = Callable[[GenerationRequest, Any, int], dict[str, Any]]
Check = Callable[[GenerationRequest, str, Configs], None]

INDEX = "model_index"
IMAGE_TASKS = {"text_to_image": "", "image_to_image": "Img2Img", "inpaint": "Inpaint"}  # -> in the names of pipelines
# Pipelines that put `skip_prk_steps` right where a scheduler's configuration says False.
CORRECTING = frozenset({"StableDiffusionInpaintPipeline"})


@dataclass(frozen=True)
class LatentFormat:
    """How a latent relates to pixels. A preview is `latent @ rgb + bias`, in -1..1, one pixel a latent cell."""

    channels: int
    scale: float = 1.0  # latents as sampled = (encoded - shift) * scale
    shift: float = 0.0
    rgb: tuple[tuple[float, float, float], ...] | None = None  # (channels, 3); None: to be fitted from the decoder
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    positive: bool = False  # the decoder's pixels are in 0..1, not in -1..1
    settled: bool = False  # scale and shift are these, whatever the decoder's configuration says


@dataclass(frozen=True)
class Call:
    """How a family does one task: the pipeline class, and what its call is given for a request's core.

    What the task itself and the parts add is the engine's to say (`engine/tasks`, `engine/parts`). `with_parts` names the
    class that does the same task with a kind of part that the plain one does not take.
    """

    pipeline: str
    arguments: CallArguments
    with_parts: Mapping[str, str] = field(default_factory=dict)

    def having(self, parts: Iterable[str]) -> "Call":
        """The call for a request with parts of these kinds."""
        named = next((self.with_parts[kind] for kind in parts if kind in self.with_parts), None)
        return replace(self, pipeline=named) if named else self


@dataclass(frozen=True)
class Loop:
    """One of a pipeline's denoising loops: the components that predict in it, its scheduler, and its call's parameter for
    the number of steps."""

    denoisers: tuple[str, ...]
    scheduler: str = "scheduler"
    steps: str = "num_inference_steps"


@dataclass(frozen=True)
class Enlarging:
    """How a family's models enlarge the picture of another model, in a cascade.

    `takes` turns what the model before made into arguments of the pipeline's call: {"image": (n, 3, h, w) in -1..1},
    and the embeddings of the prompts where that model computed them. The components in `not_needed` are then not loaded.
    """

    takes: Callable[[dict[str, Any]], dict[str, Any]]
    noise_level: int
    most_noise: int
    factor: int | None = None  # None: what its own size is to that of the model before
    not_needed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Family:
    """One family. `tasks` maps a task to how it is done, by the class that a folder names."""

    name: str
    title: str
    tasks: dict[str, Call]
    also: frozenset[str] = frozenset()  # classes that a folder may name for which the first task's serves
    # Refuses beforehand what a call would refuse of a folder that names this pipeline and holds these configurations,
    # its index among them as INDEX.
    check: Check = lambda request, pipeline, configs: None
    denoiser: str = "unet"
    scheduler: str = "scheduler"  # the component that a sampler takes the place of
    loops: tuple[Loop, ...] = ()  # of a pipeline with several, in the order they run; the sampler's is one of them
    guidance: Guidance = "batch"
    conditional_first: bool = False  # in a batch of both: [cond, uncond] rather than [uncond, cond]
    alone: bool = False  # its pipeline makes one picture at a time
    whole_timesteps: bool = False  # its pipeline looks noise levels up by timesteps, which have to be whole numbers
    precise: bool = False  # its pipeline works in fp32 alone
    learned_variance: bool = False  # the denoiser's output may carry a variance in its second half of channels
    solvers: tuple[str, ...] | None = None  # None: any that fits the prediction
    defaults: Defaults = field(default_factory=Defaults)
    latent: LatentFormat | None = None  # None: pixels
    multiple: int = 8
    cells: int = 1  # and of so many of its latent's cells
    area: int | None = None  # latent cells a side of the square whose area all its pictures have; None: any size
    sizes: tuple[tuple[int, int], ...] = ()  # the only ones that its pipelines make
    fixed_size: bool = False
    prompted: bool = True
    prompt_help: str = ""  # what the prompt means, where it is not a picture in words
    negative: bool = True
    guided: bool = True
    encoders: tuple[str, ...] = ("text_encoder",)
    decoder: str | None = "vae"
    # Where 2 x 2 latent cells are folded into channels, the cells vary slower than the channels.
    cells_first: bool = False
    needs: dict[str, str] = field(default_factory=dict)  # parts that its pipeline cannot be made without -> their class
    alternatives: frozenset[str] = frozenset()  # classes kept, where a folder names them, in place of the first task's
    fits: Callable[[Configs], bool] = lambda configs: True  # distinguishes families of one pipeline class
    blueprint: Blueprint | None = None  # None: single files of the family cannot be completed offline
    variants: dict[str, Blueprint] = field(default_factory=dict)  # of variants whose files differ from the rest
    # Of variants whose denoisers want other calls.
    variant_tasks: dict[str, dict[str, Call]] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()  # kinds of parts that are attached to its modules, such as "lora"
    partial_steps: Literal["floor", "ceil"] = "floor"  # how its pipelines round strength * steps
    source: str = ""  # the folder to fetch where a single file does not suffice
    enlarging: Enlarging | None = None  # its models make no picture of their own
    enlargers: tuple[str, ...] = ()  # families whose models may follow, each on the one before

    @property
    def covers(self) -> frozenset[str]:
        """The pipeline classes that a folder of the family may name."""
        return self.also | self.alternatives | {call.pipeline for call in self.tasks.values()}

    def calls(self, variant: str, named: str | None = None) -> dict[str, Call]:
        """Task -> how a model of this variant does it, whose folder names the pipeline class `named`."""
        calls = dict(self.variant_tasks.get(variant, self.tasks))
        if named in self.alternatives and calls:
            first = next(iter(calls.values())).pipeline
            same = {task: call for task, call in calls.items() if call.pipeline == first}
            calls |= {task: replace(call, pipeline=str(named)) for task, call in same.items()}
        return calls

    def parts(self, variant: str) -> tuple[str, ...]:
        """Kinds of parts that a model of this variant takes."""
        own = ("vae",) if self.decoder == "vae" else ()
        stages = ("cascade",) if self.enlargers else ()
        traced = () if self.loops else ("branch", "attention")  # a trace is of one loop
        classes = tuple(kind for call in self.calls(variant).values() for kind in call.with_parts if kind in PARTS)
        return tuple(dict.fromkeys((*own, *stages, *classes, *self.attachments, *traced)))

    def blueprint_of(self, variant: str) -> Blueprint | None:
        return self.variants.get(variant, self.blueprint)


FAMILIES: Registry[Family] = Registry("family")


def register(family: Family) -> Family:
    return FAMILIES.add(family.name, family)


def family_of(pipeline_class: str, configs: Configs) -> Family | None:
    """The family of a folder, by the pipeline class it names and its components' configurations; None if no family fits."""
    every = (family for _, family in FAMILIES.items())
    return next((family for family in every if pipeline_class in family.covers and family.fits(configs)), None)


def accepted(pipeline: Any) -> frozenset[str]:
    """Names of the parameters that the pipeline's call takes."""
    return frozenset(inspect.signature(type(pipeline).__call__).parameters)


def refuse_unknown(request: GenerationRequest, pipeline: Any) -> None:
    """What a request asks beyond the call's parameters is refused, never dropped."""
    known, name = accepted(pipeline), type(pipeline).__name__
    if request.guidance_rescale and "guidance_rescale" not in known:
        raise InvalidRequest(f"{name} takes no guidance rescale; set it to 0.", field="guidance_rescale")
    if request.clip_skip > 1 and "clip_skip" not in known:
        raise InvalidRequest(f"{name} takes no clip skip; set it to 1.", field="clip_skip")
    if request.negative_prompt and "negative_prompt" not in known:
        raise InvalidRequest(f"{name} takes no negative prompt; leave it empty.", field="negative_prompt")


def prompt_arguments(request: GenerationRequest, pipeline: Any, count: int) -> dict[str, Any]:
    """What every text-to-image pipeline of the usual shape takes; what its call does not know is refused or left out."""
    refuse_unknown(request, pipeline)
    known = accepted(pipeline)
    arguments: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "guidance_rescale": request.guidance_rescale,
        "clip_skip": clip_skip(request, pipeline),
        "width": request.width,
        "height": request.height,
        "num_images_per_prompt": count,
    }
    return {name: value for name, value in arguments.items() if name in known}


def clip_skip(request: GenerationRequest, pipeline: Any) -> int | None:
    """As diffusers counts: layers before the one that the pipeline reads by itself, which is the last but one where there
    are several encoders. Raises InvalidRequest where an encoder has not so many."""
    parts = pipeline.components.items()
    encoders = [part for name, part in parts if name.startswith("text_encoder") and part is not None]
    layers = min((getattr(each.config, "num_hidden_layers", request.clip_skip) for each in encoders), default=0)
    if encoders and request.clip_skip > layers:
        sentence = f"The text encoder has {layers} layers; set clip skip to {layers} or less."
        raise InvalidRequest(sentence, field="clip_skip")
    own = 2 if "text_encoder_2" in pipeline.components else 1
    return request.clip_skip - own if request.clip_skip > own else None


def calls_of(
    stem: str,
    arguments: CallArguments = prompt_arguments,
    tasks: Collection[str] = tuple(IMAGE_TASKS),
    controlnet: Collection[str] = tuple(IMAGE_TASKS),  # the tasks that can be done with one
    union: bool = False,  # whether ControlNets for several kinds of control have pipelines of their own
    adapter: bool = False,  # whether a T2I-Adapter has one
) -> dict[str, Call]:
    """The usual tasks by pipelines of one stem: StableDiffusionPipeline, StableDiffusionControlNetImg2ImgPipeline, ..."""
    return {
        task: Call(
            f"{stem}{IMAGE_TASKS[task]}Pipeline",
            arguments,
            ({"controlnet": f"{stem}ControlNet{IMAGE_TASKS[task]}Pipeline"} if task in controlnet else {})
            | ({"controlnet_union": f"{stem}ControlNetUnion{IMAGE_TASKS[task]}Pipeline"} if union else {})
            | ({"t2i_adapter": f"{stem}AdapterPipeline"} if adapter and not IMAGE_TASKS[task] else {}),
        )
        for task in tasks
    }


def capabilities_of(
    family: Family,
    variant: str,
    named: str | None,  # the pipeline class that the model's folder names
    prediction: str,
    scheduler: Mapping[str, Any],  # the configuration of the model's own scheduler
    *,
    solvers: tuple[str, ...] | None,
    distilled: bool,
    multiple: int | None = None,
    area: int | None = None,  # in pixels
) -> Capabilities:
    """What a model can do, as one value, from its family and what its folder or file says; see `Capabilities`."""
    calls = family.calls(variant, named)
    first = next(iter(calls.values()), None)
    pipeline = first.pipeline if first else ""
    corrected = pipeline in CORRECTING and "skip_prk_steps" in scheduler  # then it is as if the setting were left out
    return Capabilities(
        tasks=tuple(calls),
        parts=family.parts(variant),
        excluded=tuple(
            (task, kind)
            for kind in dict.fromkeys(kind for call in calls.values() for kind in call.with_parts)
            for task, call in calls.items()
            if kind not in call.with_parts
        ),
        prediction=prediction,
        spacing=spacing_of(scheduler),
        solvers=solvers,
        guided=family.guided,
        prompted=family.prompted,
        prompt_help=family.prompt_help,
        negative=family.negative,
        rescale=accepts(pipeline, "guidance_rescale"),
        clip_skip=accepts(pipeline, "clip_skip"),
        zero_snr=bool(scheduler.get("rescale_betas_zero_snr")),
        runge_kutta=not (scheduler.get("skip_prk_steps") or corrected),
        # One step cannot start at noise and end above zero.
        fewest_steps=2 if scheduler.get("shift_terminal") else 1,
        partial_steps=family.partial_steps,
        multiple=multiple or family.multiple,
        sizes=family.sizes,
        area=area,
        fixed_size=family.fixed_size,
        distilled=distilled,
    )
