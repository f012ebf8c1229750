"""A request carried out by all its stages: most often one, in a cascade several, one after another.

Each stage's model is leased in its turn, so that the memory budget has to hold only one of them at a time; where it
holds all, they stay. The steps of all stages are reported as one row. How one stage samples is in `engine.generate`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

import torch

from studio.core.fields import specs
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.stages import stages_of
from studio.engine.generate import Made, Piece, Result, Watch, batches, sample
from studio.engine.observers import Observer
from studio.engine.tap import TapStep
from studio.manager.manager import Loaded

# Brings the n-th stage's model into memory for the length of a `with`; the request is that stage's.
Lease = Callable[[int, ModelInfo, GenerationRequest], AbstractContextManager[Loaded]]


# What the prompts' random parts are for an image, by its index.
Expand = Callable[[GenerationRequest, int], GenerationRequest]


def as_written(request: GenerationRequest, image: int) -> GenerationRequest:
    return request


@dataclass(frozen=True)
class Run:
    """A stage whose model was found."""

    info: ModelInfo
    request: GenerationRequest

    @property
    def steps(self) -> int:
        return self.request.task.steps_run(self.request.steps, self.info.capabilities.partial_steps)


def planned(request: GenerationRequest, info: ModelInfo, models: list[ModelInfo]) -> list[Run]:
    """The stages of a resolved request, in order, with their models. Raises UnknownName if one of these has gone."""
    found = {other.id: other for other in models}
    return [
        Run(found.get(stage.model) or find_model(models, stage.model), stage.request)
        for stage in stages_of(request, info)
    ]


def generate_all(
    request: GenerationRequest,
    runs: list[Run],
    lease: Lease,
    watch: Watch,
    only: int | None = None,  # make just the batch that holds this image, as replay needs
    expand: Expand = as_written,
) -> Iterator[Result]:
    """Yield each picture when its batch is done. Raises as `generate` does, and what leases raise."""
    with ExitStack() as stack:
        turns = _Turns(runs, lease, stack)
        for images in batches(request):
            if only is None or only in images:
                asked = expand(request, images[0])
                own = [replace(run, request=run.request.model_copy(update=_prompts(asked))) for run in runs]
                for result in _batch(request, own, turns, images, watch):
                    yield _with_prompts(result, request, asked)


def _batch(
    request: GenerationRequest, runs: list[Run], turns: "_Turns", images: tuple[int, ...], watch: Watch
) -> Iterator[Result]:
    row = _Row(watch, sum(run.steps for run in runs))
    pieces, recipes = [Piece(images)], dict[int, tuple[Recipe, ...]]()
    for number, run in enumerate(runs[:-1]):
        loaded = turns.to(number)
        made = [part for piece in pieces for part in sample(run.request, loaded, piece, row.watch, onward=True)]
        for part in made:
            recipes |= {image: (*recipes.get(image, ()), part.recipe) for image in part.images}
        pieces = [part.piece() for part in made]
        row.passed(run.steps)
    last, loaded = runs[-1], turns.to(len(runs) - 1)
    for piece in pieces:
        for part in sample(last.request, loaded, piece, row.watch if len(runs) > 1 else watch):
            yield from _as_one(request, runs, part, recipes.get(part.images[0], ())).results()


class _Row(Observer):
    """The steps of all stages reported as one row of `total`; `watch` is for the stage whose turn it is."""

    def __init__(self, watch: Watch, total: int):
        self._whole, self._total = watch, total
        self._steps, self._seconds, self._latest = 0, 0.0, 0.0  # of the stages before; of the one at work
        self.watch = replace(watch, observers=(self,))

    def passed(self, steps: int) -> None:
        """A stage is done; the next one's steps come after its."""
        self._steps, self._seconds = self._steps + steps, self._seconds + self._latest

    def on_step(self, step: TapStep) -> None:
        self._latest = step.elapsed
        self._whole.on_step(
            replace(step, index=self._steps + step.index, total=self._total, elapsed=self._seconds + step.elapsed)
        )

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        self._whole.on_decode(latents, pixels)


class _Turns:
    """Holds the lease of one stage's model at a time, for as long as no other is wanted."""

    def __init__(self, runs: list[Run], lease: Lease, stack: ExitStack):
        self._runs, self._lease, self._stack = runs, lease, stack  # the stack is this one's alone
        self._held: tuple[int, Loaded] | None = None

    def to(self, number: int) -> Loaded:
        if self._held is None or self._held[0] != number:
            self._held = None
            self._stack.close()
            run = self._runs[number]
            self._held = number, self._stack.enter_context(self._lease(number, run.info, run.request))
        return self._held[1]


def _prompts(request: GenerationRequest) -> dict[str, str]:
    return {"prompt": request.prompt, "negative_prompt": request.negative_prompt}


def _with_prompts(result: Result, written: GenerationRequest, asked: GenerationRequest) -> Result:
    """The recipe holds the prompts as they were written, and what they became for this image."""
    if _prompts(written) == _prompts(asked):
        return result
    request = result.recipe.request.model_copy(update=_prompts(written))
    return replace(result, recipe=result.recipe.model_copy(update={"request": request} | _prompts(asked)))


def _as_one(request: GenerationRequest, runs: list[Run], last: Made, before: tuple[Recipe, ...]) -> Made:
    """The last stage's pictures with the recipe of the whole."""
    if not before:
        return last
    recipes = (*before, last.recipe)
    weights = dict(recipes[0].weights)
    for run, recipe in zip(runs[1:], recipes[1:], strict=True):
        weights |= {f"{component} of {run.info.id}": digest for component, digest in recipe.weights.items()}
    described = tuple(_described(run) for run in runs[1:])
    notes = tuple(dict.fromkeys(note for recipe in recipes for note in recipe.notes))
    whole = recipes[0].model_copy(
        update={
            "request": request,
            "pipeline": " + ".join(recipe.pipeline for recipe in recipes),
            "scheduler": " + ".join(recipe.scheduler for recipe in recipes),
            "weights": weights,
            "notes": (*described, *notes),
        }
    )
    return replace(last, recipe=whole)


def _described(run: Run) -> str:
    asked = run.request
    settings = [f"{asked.steps} steps", f"CFG {asked.guidance_scale:g}"]
    settings += [f"{spec.title.lower()} {getattr(asked.task, name)}" for name, spec in specs(type(asked.task)).items()]
    return (
        f"then {asked.task.title.lower()} to {asked.width} x {asked.height} by {run.info.title}: {', '.join(settings)}"
    )
