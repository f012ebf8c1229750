"""One stage of a run, batch by batch, to pictures with their recipes. The stock pipeline samples; the tap watches.

Noise is drawn on the CPU, one generator per image seeded with that image's own seed, so an image does not depend on
its batch: the noise is equal to the last bit, and the pixels up to one step of 255, since a kernel may sum a batch in
another order (a batch of one is exact, and so is a replay, which runs the same batch). What a pipeline is called with is
said by its family (`manager/families`), the task and the parts (`engine/effects.py`).
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import PIL.Image
import torch
from diffusers.guiders.guider_utils import BaseGuidance

from studio.core.errors import InvalidRequest, OutOfMemory, StudioError
from studio.core.recipe import Recipe, pixel_hash
from studio.core.request import GenerationRequest
from studio.core.samplers import SOLVERS
from studio.engine import parts, tasks  # noqa: F401 (they register what they add to a call)
from studio.engine.conditioning import Conditioning
from studio.engine.decoding import watched_decoder, with_fallbacks
from studio.engine.effects import (
    Context,
    ReadImage,
    TraceFile,
    applied,
    call_arguments,
    finished,
    no_images,
    no_traces,
    observers_of,
)
from studio.engine.environment import describe_device, library_versions
from studio.engine.layout import spatial_of
from studio.engine.loops import attention_as_before, put_scheduler, watched_loops
from studio.engine.observers import Calling, Observer
from studio.engine.samplers import build_scheduler, seed_scheduler, step_notes
from studio.engine.tap import GuidanceLayout, TapStep
from studio.manager.loading import is_out_of_memory
from studio.manager.manager import Loaded
from studio.manager.memory.fallbacks import ENCODE, Exhausted, Restart
from studio.prompts.prepare import is_random

EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds")
DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class Result:
    """One finished picture. `seed` is its own; `recipe` is enough to make it again."""

    image: PIL.Image.Image
    index: int  # which image of the job
    seed: int
    recipe: Recipe


@dataclass(frozen=True)
class Watch:
    """Who watches a run, who may end it, and where it finds the pictures and traces that it starts from."""

    observers: tuple[Observer, ...] = ()
    cancelled: Callable[[], bool] = lambda: False
    read_image: ReadImage = no_images
    trace_file: TraceFile = no_traces

    def on_step(self, step: TapStep) -> None:
        for observer in self.observers:
            observer.on_step(step)

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        for observer in self.observers:
            observer.on_decode(latents, pixels)

    @contextmanager
    def watching(self, context: Context) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self.observers:
                stack.enter_context(observer.watching(context))
            yield


@dataclass(frozen=True)
class Piece:
    """Images of a job that are denoised together, with what the stage before made of them: a row each."""

    images: tuple[int, ...]  # indices within the job
    handed: dict[str, Any] = field(default_factory=dict)  # name -> tensor (images, ...)

    def one(self, place: int) -> "Piece":
        rows = slice(place, place + 1)
        return Piece((self.images[place],), {name: tensor[rows] for name, tensor in self.handed.items()})


@dataclass(frozen=True)
class Made:
    """What a pipeline gave for a piece. `recipe` is the whole piece's: no image's index, seed or pixels are in it yet."""

    images: tuple[int, ...]
    output: Any
    embeddings: dict[str, Any]  # of the prompts, where the family computes them ahead
    recipe: Recipe
    finished: Callable[[PIL.Image.Image], PIL.Image.Image] = lambda picture: picture

    def piece(self) -> Piece:
        """For the next stage; the pipeline was asked for tensors."""
        return Piece(self.images, {"image": self.output[0]} | self.embeddings)

    def results(self) -> list[Result]:
        pictures = [self.finished(picture.convert("RGB")) for picture in _pictures(self.output[0])]
        seeds = [self.recipe.request.seed + k for k in self.images]
        return [
            Result(picture, index, seed, _recipe_of_image(self.recipe, index, seed, picture))
            for picture, index, seed in zip(pictures, self.images, seeds, strict=True)
        ]


def batches(request: GenerationRequest) -> list[tuple[int, ...]]:
    """The image indices that are denoised together: (0, 1, 2, 3), (4, 5), ..."""
    size = 1 if is_random(request) else request.batch_size  # each may have a prompt of its own
    return [tuple(range(k, min(k + size, request.count))) for k in range(0, request.count, size)]


def generate(
    request: GenerationRequest,  # resolved by core.options
    loaded: Loaded,  # a lease's model
    *,
    on_step: Callable[[TapStep], None] | None = None,
    on_decode: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    read_image: ReadImage = no_images,
) -> Iterator[Result]:
    """Yield each picture of a request of one stage, when its batch is done. Ceasing to iterate stops the job after the
    batch; `engine.stages` is the same for any number of stages.

    Raises Cancelled within one step of `cancelled()`, NonFinite instead of a black picture, InvalidRequest for what
    the model cannot do, OutOfMemory.
    """
    watch = Watch((Calling(on_step, on_decode),), cancelled, read_image)
    for images in batches(request):
        for made in sample(request, loaded, Piece(images), watch):
            yield from made.results()


def sample(
    request: GenerationRequest, loaded: Loaded, piece: Piece, watch: Watch, *, onward: bool = False
) -> Iterator[Made]:
    """Run the pipeline over a piece's images together; one by one where memory allows no more.

    Out of memory, a forward or a decoding takes a fallback and is called again; only what changes the batch, or happens
    in neither, begins the batch again. Images already made are never made again. `onward`: the pictures are for another
    model, and stay tensors (n, 3, h, w) in -1..1.
    """
    waiting = [piece]
    while waiting:
        together = waiting.pop(0)
        alone = loaded.fallbacks.single or loaded.family.alone or SOLVERS.get(request.sampler).adaptive
        if alone and len(together.images) > 1:
            waiting[:0] = [together.one(place) for place in range(len(together.images))]
            continue
        made = _attempt(request, loaded, together, watch, onward)
        if made is None:
            waiting.insert(0, together)
        else:
            loaded.fallbacks.succeeded()
            yield made


def _attempt(request: GenerationRequest, loaded: Loaded, piece: Piece, watch: Watch, onward: bool) -> Made | None:
    """What was made of the piece; None if a fallback was taken that means to begin it again."""
    try:
        loaded.fallbacks.begin()
        return _denoise_and_decode(request, loaded, piece, watch, onward)
    except Restart:
        return None
    except OutOfMemory as error:
        if isinstance(error, Exhausted):
            raise
    # Out of the handler: the failed run's tensors hung on the traceback.
    loaded.fallbacks.take_next(ENCODE)
    return None


def _denoise_and_decode(request: GenerationRequest, loaded: Loaded, piece: Piece, watch: Watch, onward: bool) -> Made:
    seeds = [request.seed + k for k in piece.images]
    pipeline = prepare_pipeline(request, loaded, seeds)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    context = Context(
        request, loaded, pipeline, piece.images, piece.handed, watch.read_image, tuple(generators), watch.trace_file
    )
    layout = GuidanceLayout(loaded.family.guidance, loaded.family.conditional_first)
    changing = observers_of(context)
    conditioning = Conditioning(context)
    watch = replace(watch, observers=(conditioning, *changing, *watch.observers))
    with (
        _sentences(),
        attention_as_before(pipeline),
        applied(context),
        watch.watching(context),
        watched_decoder(pipeline, loaded.family.decoder, loaded.fallbacks, watch.on_decode) as notes,
        with_fallbacks(getattr(pipeline, loaded.family.denoiser), loaded.fallbacks),
        watched_loops(
            pipeline,
            loaded.family,
            request.steps,
            layout,
            piece.images,
            on_step=watch.on_step,
            cancelled=watch.cancelled,
            generators=generators,
            spatial=spatial_of(request, loaded),
            changing=changing,
        ),
    ):
        arguments = call_arguments(context)
        with conditioning.applied(arguments) as conditioned:
            output = pipeline(
                **conditioned | ({"output_type": "pt"} if onward else {}),
                generator=generators if len(generators) > 1 else generators[0],
            )
    _refuse_withheld(output)
    scheduler = getattr(pipeline, loaded.family.scheduler)
    advice = step_notes(scheduler, request.sampler, request.spacing, request.steps)
    recipe = _recipe(
        request,
        loaded,
        pipeline,
        (*loaded.fallbacks.notes(), *loaded.notes, *context.notes, *notes, *advice, *conditioning.notes),
    )
    embeddings = {name: tensor for name, tensor in arguments.items() if name in EMBEDDINGS and tensor is not None}
    return Made(piece.images, output, embeddings, recipe, functools.partial(finished, context))


def prepare_pipeline(request: GenerationRequest, loaded: Loaded, seeds: list[int]) -> Any:
    """A fresh shell with a fresh scheduler of the sampler and spacing asked for."""
    pipeline = loaded.pipeline(loaded.call(request))
    # The shell has already put right what it knows to be wrong in old scheduler configs; build on that, as users do.
    own = getattr(pipeline, loaded.family.scheduler)
    family, requested = loaded.family, (request.sampler, request.spacing, request.steps)
    scheduler = build_scheduler(own.config, *requested, family.name, own=type(own), rounded=family.whole_timesteps)
    seed_scheduler(scheduler, seeds)
    put_scheduler(pipeline, loaded.family.scheduler, scheduler)
    for name, part in pipeline.components.items():
        if isinstance(part, BaseGuidance):  # of this run alone: they keep count of its steps
            setattr(pipeline, name, part.new(guidance_scale=request.guidance_scale))
    return pipeline


def _recipe(request: GenerationRequest, loaded: Loaded, pipeline: Any, notes: tuple[str, ...]) -> Recipe:
    return Recipe(
        request=request,
        index=0,
        seed=request.seed,
        model=loaded.info.id,
        model_title=loaded.info.title,
        family=loaded.family.name,
        pipeline=type(pipeline).__name__,
        scheduler=type(getattr(pipeline, loaded.family.scheduler)).__name__,
        weights=loaded.weights,
        dtype=DTYPE_NAMES[loaded.dtype],
        memory_format=memory_format(loaded.components[loaded.family.denoiser]),
        attention=loaded.attention,
        device=describe_device(loaded.device),
        libraries=library_versions(),
        notes=notes,
        parent=request.parent,
    )


def memory_format(module: torch.nn.Module) -> str:
    """ "channels_last" if the module's convolutions are laid out so."""
    for weight in module.parameters():
        if weight.ndim == 4 and weight.shape[1] > 1 and weight.shape[-1] > 1:
            return "contiguous" if weight.is_contiguous() else "channels_last"
    return "contiguous"


def _pictures(made: Any) -> list[PIL.Image.Image]:
    """A pipeline's pictures; one that was asked for tensors gives (n, 3, h, w) in 0..1."""
    if not isinstance(made, torch.Tensor):
        return made
    from diffusers.utils.pil_utils import numpy_to_pil

    return numpy_to_pil(made.float().cpu().permute(0, 2, 3, 1).numpy())


def _recipe_of_image(recipe: Recipe, index: int, seed: int, picture: PIL.Image.Image) -> Recipe:
    pixels = pixel_hash(picture.mode, picture.size, picture.tobytes())
    return recipe.model_copy(update={"index": index, "seed": seed, "pixels": pixels})


def _refuse_withheld(output: Any) -> None:
    """A safety checker paints what it withholds black; a black picture is not a result."""
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        raise StudioError("The model's own safety checker withheld a picture. Try another prompt or seed.")


class _sentences:
    """Turns what pipelines raise into the studio's errors; lets the studio's own pass."""

    def __enter__(self) -> None:
        self._quiet = warnings.catch_warnings()
        self._quiet.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._quiet.__exit__(kind, error, trace)
        if error is None or isinstance(error, StudioError):
            return
        if is_out_of_memory(error):
            raise OutOfMemory(
                "The device's memory did not suffice. Try a smaller batch or size, or precision bf16."
            ) from error
        if isinstance(error, ValueError | NotImplementedError):
            raise InvalidRequest(f"The pipeline refused: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text if text.endswith(".") else text + "."
