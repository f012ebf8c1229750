"""A request carried out by all the models that it takes: most often one, in a cascade one after another.

Each model is leased in its turn, so that the memory budget has to hold only one of them at a time; where it holds all,
they stay. The steps of all models are told as one row of steps. How one model samples is `engine.generate`'s business.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from studio.core.cascade import runs_of
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.engine.generate import Made, Piece, Result, Watch, batches, sample
from studio.engine.tap import TapStep
from studio.manager.manager import Loaded

# Brings the n-th model of a run into memory for the length of a `with`; it is asked for what that model is to do.
Lease = Callable[[int, ModelInfo, GenerationRequest], AbstractContextManager[Loaded]]


@dataclass(frozen=True)
class Run:
    """One model's part."""

    info: ModelInfo
    request: GenerationRequest


def planned(request: GenerationRequest, info: ModelInfo, models: list[ModelInfo]) -> list[Run]:
    """The runs that a resolved request takes, in order. Raises UnknownName if a model of the cascade has gone."""
    found = {other.id: other for other in models}
    return [
        Run(found.get(model_id) or find_model(models, model_id), wanted) for model_id, wanted in runs_of(request, info)
    ]


def generate_all(
    request: GenerationRequest,
    runs: list[Run],
    lease: Lease,
    watch: Watch,
    only: int | None = None,  # make just the batch that holds this image, as replay needs
) -> Iterator[Result]:
    """Yield each picture when its batch is done. Raises as `generate` does, and what leases raise."""
    with ExitStack() as stack:
        turns = _Turns(runs, lease, stack)
        for images in batches(request):
            if only is None or only in images:
                yield from _batch(request, runs, turns, images, watch)


def _batch(
    request: GenerationRequest, runs: list[Run], turns: "_Turns", images: tuple[int, ...], watch: Watch
) -> Iterator[Result]:
    row = _Row(watch, sum(run.request.steps for run in runs))
    pieces, recipes = [Piece(images)], dict[int, tuple[Recipe, ...]]()
    for number, run in enumerate(runs[:-1]):
        loaded = turns.to(number)
        made = [part for piece in pieces for part in sample(run.request, loaded, piece, row.watch, onward=True)]
        for part in made:
            recipes |= {image: (*recipes.get(image, ()), part.recipe) for image in part.images}
        pieces = [part.piece() for part in made]
        row.passed(run.request.steps)
    last, loaded = runs[-1], turns.to(len(runs) - 1)
    for piece in pieces:
        for part in sample(last.request, loaded, piece, row.watch if len(runs) > 1 else watch):
            yield from _as_one(request, runs, part, recipes.get(part.images[0], ())).results()


class _Row:
    """The steps of all models told as one row of `total`; `watch` is for the model whose turn it is."""

    def __init__(self, watch: Watch, total: int):
        self._told, self._total = watch.on_step, total
        self._steps, self._seconds, self._latest = 0, 0.0, 0.0  # of the models before; of the one at work
        self.watch = replace(watch, on_step=self._on_step)

    def passed(self, steps: int) -> None:
        """A model is done; the next one's steps come after its."""
        self._steps, self._seconds = self._steps + steps, self._seconds + self._latest

    def _on_step(self, step: TapStep) -> None:
        self._latest = step.elapsed
        self._told(
            replace(step, index=self._steps + step.index, total=self._total, elapsed=self._seconds + step.elapsed)
        )


class _Turns:
    """Holds the lease of one run's model at a time, for as long as no other is wanted."""

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


def _as_one(request: GenerationRequest, runs: list[Run], last: Made, before: tuple[Recipe, ...]) -> Made:
    """The last model's pictures with the recipe of the whole."""
    if not before:
        return last
    recipes = (*before, last.recipe)
    weights = dict(recipes[0].weights)
    for run, recipe in zip(runs[1:], recipes[1:], strict=True):
        weights |= {f"{component} of {run.info.id}": digest for component, digest in recipe.weights.items()}
    said = tuple(_said(run) for run in runs[1:])
    notes = tuple(dict.fromkeys(note for recipe in recipes for note in recipe.notes))
    whole = recipes[0].model_copy(
        update={
            "request": request,
            "pipeline": " + ".join(recipe.pipeline for recipe in recipes),
            "scheduler": " + ".join(recipe.scheduler for recipe in recipes),
            "weights": weights,
            "notes": (*said, *notes),
        }
    )
    return replace(last, recipe=whole)


def _said(run: Run) -> str:
    asked = run.request
    return (
        f"enlarged to {asked.width} x {asked.height} by {run.info.title}: {asked.steps} steps, "
        f"CFG {asked.guidance_scale:g}, noise level {asked.noise_level}"
    )
