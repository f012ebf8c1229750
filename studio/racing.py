"""Carries out a sampler race: leg after leg through the same pipelines as any picture, then the reference, then the errors.

A runner of `studio.execution`, for the worker and the command line. Importing it loads torch.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from studio.core import events
from studio.core.models import ModelInfo
from studio.core.race import Lane, LegResult, ReferenceResult, Results, is_stochastic, title_of
from studio.core.race_plan import Leg, Plan, plan
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.engine.race import End, Measuring, References, latent_error, picture_error
from studio.engine.recorder import PACE
from studio.engine.stages import planned
from studio.engine.tap import TapStep
from studio.execution import ProgressReporter, pictures, usable
from studio.jobs.archive import encode_png
from studio.jobs.inputs import InputStore
from studio.jobs.races import FOLDER, REFERENCES, RaceFolder
from studio.jobs.saving import Sink
from studio.jobs.traces import TraceStore
from studio.manager.disk.catalog import Catalog
from studio.manager.manager import Manager


def run(
    request: GenerationRequest,
    manager: Manager,
    catalog: Catalog,
    archive: Sink,
    inputs: InputStore,
    traces: TraceStore | None,  # a race leaves none
    reporter: ProgressReporter,
) -> None:
    """The race of the reporter's job, as its folder has it. Raises as `execution.run` does."""
    folder = RaceFolder(archive.private / FOLDER, reporter.job)
    models = catalog.models()
    info = usable(models, request.model, reporter)
    asked = plan(folder.asked().race, info, models)
    sampler = _Sampler(info, models, manager, inputs, reporter, _Progress(asked.evaluations, reporter.emit))
    _Racing(asked, folder, sampler, References(folder.path.parent / REFERENCES)).go()


class _Progress:
    """Reports evaluations as the steps of one long run."""

    def __init__(self, total: int, emit: Callable[[events.Event], None]):
        self._total, self._emit = total, emit
        self._done, self._seconds, self._reported = 0, 0.0, 0.0

    def on_step(self, step: TapStep) -> None:
        self._done, self._seconds = self._done + len(step.calls), self._seconds + step.seconds
        if (now := time.monotonic()) - self._reported < PACE and self._done < self._total:
            return
        self._reported = now
        self._emit(
            events.Step(
                index=self._done - 1,
                total=max(self._total, self._done),
                timestep=step.timestep,
                seconds=step.seconds,
                elapsed=self._seconds,
                remaining=max(self._total - self._done, 0) * self.pace,
            )
        )

    def skip(self, evaluations: int) -> None:
        """So many need not be made."""
        self._total -= evaluations

    @property
    def pace(self) -> float:
        """Seconds for an evaluation."""
        return self._seconds / max(self._done, 1)


@dataclass(frozen=True)
class _Made:
    end: End
    recipe: Recipe
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class _Sampler:
    """Makes one picture of a request as any run does, and measures it."""

    info: ModelInfo
    models: list[ModelInfo]
    manager: Manager
    inputs: InputStore
    reporter: ProgressReporter
    progress: _Progress

    def make(self, request: GenerationRequest) -> _Made:
        measuring = Measuring(self.progress.on_step)
        stages = planned(request, self.info, self.models)
        [result] = pictures(
            request,
            self.info,
            stages,
            manager=self.manager,
            inputs=self.inputs,
            reporter=self.reporter,
            observers=[measuring],
        )
        end = End.of(measuring.latents, result.image.convert("RGB"))
        return _Made(end, result.recipe, measuring.evaluations, measuring.seconds)


@dataclass
class _Racing:
    """The race as it goes: results are written after every leg, so that a page can show them."""

    asked: Plan
    folder: RaceFolder
    sampler: _Sampler
    references: References
    results: Results = field(default_factory=Results)
    ends: dict[str, End] = field(default_factory=dict)  # by the leg's picture, until there is a reference
    solution: End | None = None

    def go(self) -> None:
        for number, leg in enumerate(self.asked.legs):
            made = self.sampler.make(leg.request)
            if number == 0:
                self._look_for_reference(made.recipe)
            self._keep(leg, made)
        if self.asked.reference is not None and self.solution is None:
            made = self.sampler.make(self.asked.reference)
            self.references.put(self.asked.reference, made.recipe, made.end)
            self._take_reference(made.end, made.recipe, made.evaluations, kept=False)
        self._write(complete=True)

    def _look_for_reference(self, recipe: Recipe) -> None:
        request = self.asked.reference
        if request is not None and (end := self.references.get(request, recipe)) is not None:
            self.sampler.progress.skip(self.asked.reference_evaluations)
            recipe = recipe.model_copy(update={"request": request, "pixels": None})
            self._take_reference(end, recipe, self.asked.reference_evaluations, kept=True)

    def _keep(self, leg: Leg, made: _Made) -> None:
        self.folder.keep(leg.picture, encode_png(made.end.picture, made.recipe))
        result = LegResult(
            lane=leg.lane,
            budget=leg.budget,
            steps=leg.request.steps,
            evaluations=made.evaluations,
            seconds=made.seconds,
            picture=leg.picture,
            note=" ".join(made.recipe.notes),
        )
        if not is_stochastic(leg.request.sampler):
            self.ends[leg.picture] = made.end
        self._write(legs=(*self.results.legs, self._measured(result)))

    def _take_reference(self, end: End, recipe: Recipe, evaluations: int, *, kept: bool) -> None:
        self.solution = end
        self.folder.keep("reference", encode_png(end.picture, recipe))
        request = recipe.request
        reference = ReferenceResult(
            sampler=request.sampler,
            spacing=request.spacing,
            title=title_of(Lane(sampler=request.sampler, spacing=request.spacing)),
            steps=request.steps,
            evaluations=evaluations,
            kept=kept,
        )
        self._write(reference=reference, legs=tuple(self._measured(leg) for leg in self.results.legs))

    def _measured(self, leg: LegResult) -> LegResult:
        """With its errors, where there is something to measure against."""
        if self.solution is None or (end := self.ends.pop(leg.picture, None)) is None:
            return leg
        errors = {
            "error": latent_error(end, self.solution),
            "picture_error": picture_error(end, self.solution),
        }
        return leg.model_copy(update=errors)

    def _write(self, **changes: object) -> None:
        update = {"seconds_per_evaluation": self.sampler.progress.pace} | changes
        self.results = self.results.model_copy(update=update)
        self.folder.write(self.results)
