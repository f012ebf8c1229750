"""Races on disk: a folder each, with what was asked for, what came of it so far, and the pictures.

The worker writes it and the studio reads it, so a page that is closed, or a studio, loses nothing. Loads no torch.
"""

import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import NotFound, StorageError
from studio.core.jobs import TERMINAL, State
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.race import (
    KIND,
    NO_REFERENCE,
    NO_SOLVER,
    Estimate,
    LaneView,
    LegView,
    Race,
    RaceView,
    Results,
    is_stochastic,
    reference_file,
    title_of,
    verdicts,
)
from studio.core.race_plan import Plan, base_of, plan
from studio.core.request import GenerationRequest
from studio.jobs.queue import JobQueue
from studio.jobs.storage import explained, write_atomically

FOLDER = "races"  # in the studio's private folder
REFERENCES = "references"  # in that one
KEPT = 30  # races
_ID = re.compile(rf"{KIND}-[0-9a-f]{{16}}")
_PICTURE = re.compile(r"reference|[0-9]{1,2}-[0-9]{1,3}")


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True)

    race: Race
    model: str  # title
    legs: tuple[LegView, ...]
    planned: int
    created: float


class RaceFolder:
    """One race's files."""

    def __init__(self, races: Path, race: str):
        self.id, self.path = race, races / race

    @classmethod
    def new(cls, races: Path, asked: Plan, model: str) -> "RaceFolder":
        folder = cls(races, f"{KIND}-{secrets.token_hex(8)}")
        names = set(LegView.model_fields) - {"steps"}
        legs = tuple(
            LegView(steps=leg.request.steps, **{name: getattr(leg, name) for name in names}) for leg in asked.legs
        )
        values = _Asked(race=asked.race, model=model, legs=legs, planned=asked.evaluations, created=time.time())
        with explained("keep the race"):
            write_atomically(folder.path / "race.json", values.model_dump_json().encode())
        return folder

    def asked(self) -> _Asked:
        """Raises NotFound."""
        try:
            return _Asked.model_validate_json((self.path / "race.json").read_bytes())
        except (OSError, ValidationError):
            raise NotFound("race", self.id) from None

    def results(self) -> Results:
        try:
            return Results.model_validate_json((self.path / "results.json").read_bytes())
        except (OSError, ValidationError):
            return Results()

    def write(self, results: Results) -> None:
        with explained("keep the race's results"):
            write_atomically(self.path / "results.json", results.model_dump_json().encode())

    def keep(self, name: str, png: bytes) -> None:
        with explained("keep the race's picture"):
            write_atomically(self.path / f"{name}.png", png)

    def view(self, state: State, message: str = "") -> RaceView:
        asked, results = self.asked(), self.results()
        race = asked.race
        lanes = tuple(
            LaneView(
                sampler=lane.sampler,
                spacing=lane.spacing,
                title=title_of(lane),
                stochastic=is_stochastic(lane.sampler),
            )
            for lane in race.lanes
        )
        without = any(lane.stochastic for lane in lanes)
        unsolved = race.reference_steps is None and not all(lane.stochastic for lane in lanes)
        return RaceView(
            id=self.id,
            state=state,
            message=message,
            created=asked.created,
            model=asked.model,
            race=race,
            lanes=lanes,
            legs=asked.legs,
            results=results,
            planned=asked.planned,
            note=NO_SOLVER if unsolved else NO_REFERENCE if without else "",
            verdicts=verdicts(race, asked.model, results),
        )


class Races:
    """The studio's races. `settle` makes a request ready to be queued; `wake` says that one was."""

    def __init__(
        self,
        folder: Path,
        queue: JobQueue,
        models: Callable[[], list[ModelInfo]],
        settle: Callable[[GenerationRequest], GenerationRequest],
        wake: Callable[[], None],
    ):
        self._folder, self._queue, self._models = folder, queue, models
        self._settle, self._wake = settle, wake

    def start(self, race: Race) -> str:
        asked, model = self._plan(race)
        self._prune()
        folder = RaceFolder.new(self._folder, asked, model.title)
        self._queue.put(asked.race.request, job=folder.id)
        self._wake()
        return folder.id

    def estimate(self, race: Race) -> Estimate:
        asked, _ = self._plan(race)
        reference = asked.reference
        kept = reference is not None and (self._folder / REFERENCES / reference_file(reference)).is_file()
        left = asked.evaluations - (asked.reference_evaluations if kept else 0)
        pace = self._pace(asked.race.request)
        return Estimate(
            evaluations=asked.evaluations - asked.reference_evaluations,
            reference_evaluations=asked.reference_evaluations,
            reference_steps=reference.steps if reference else 0,
            reference_kept=kept,
            seconds=None if pace is None else left * pace,
            lanes=asked.race.lanes,
        )

    def all(self) -> list[RaceView]:
        views = []
        for path in self._folder.glob(f"{KIND}-*"):
            try:
                views.append(self.get(path.name))
            except NotFound:  # another version's, or one that is being deleted
                continue
        return sorted(views, key=lambda view: view.created, reverse=True)

    def get(self, race: str) -> RaceView:
        folder = self._found(race)
        try:
            job = self._queue.get(race)
        except NotFound:  # made on the command line, or the index was lost
            return folder.view("done" if folder.results().complete else "interrupted")
        return folder.view(job.state, job.message or "")

    def picture(self, race: str, name: str) -> Path:
        path = self._found(race).path / f"{name}.png"
        if not _PICTURE.fullmatch(name) or not path.is_file():
            raise NotFound("picture", name)
        return path

    def delete(self, race: str) -> None:
        if self.get(race).state not in TERMINAL:
            raise StorageError("This race has not ended; stop it first.")
        shutil.rmtree(self._found(race).path, ignore_errors=True)

    def _plan(self, race: Race) -> tuple[Plan, ModelInfo]:
        models = self._models()
        model = find_model(models, race.request.model)
        settled = race.model_copy(update={"request": self._settle(base_of(race))})
        return plan(settled, model, models), model

    def _found(self, race: str) -> RaceFolder:
        folder = RaceFolder(self._folder, race)
        if not _ID.fullmatch(race) or not folder.path.is_dir():
            raise NotFound("race", race)
        return folder

    def _pace(self, request: GenerationRequest) -> float | None:
        """Seconds for an evaluation of this model at this size, as last measured."""
        same = (request.model, request.width, request.height, request.guidance_scale > 1)
        for view in self.all():
            of, pace = view.race.request, view.results.seconds_per_evaluation
            if pace and (of.model, of.width, of.height, of.guidance_scale > 1) == same:
                return pace
        return self._queue.pace(request)

    def _prune(self) -> None:
        for view in [view for view in self.all() if view.state in TERMINAL][KEPT - 1 :]:
            self.delete(view.id)
