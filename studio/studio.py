"""The studio: the one object that the window, the server, the CLI and Python users hold. The real `core.studio.Studio`.

Puts the queue, the archive and the catalog together; does not know torch, which lives in the worker alone.
"""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image

from studio.core.annotators import Annotation, AnnotatorView
from studio.core.branching import attention_of, branch_of
from studio.core.errors import InvalidRequest, NotFound, StorageError, StudioError
from studio.core.events import Failed
from studio.core.gallery import GalleryCounts, GalleryPage, GalleryQuery, Relatives
from studio.core.jobs import TERMINAL, ImageView, JobView, QueueView, StoppedRun, remaining
from studio.core.memory import MemoryCommand, MemoryView, MoveView, PlanRequest, PlanView
from studio.core.models import MODEL_KINDS, Choice, ModelInfo, ModelOptions, Override
from studio.core.options import check_pictures, check_traces, find_model, options_for, prepared, resolve
from studio.core.pictures import read_file
from studio.core.presets import Preset, Style, read_presets, read_styles
from studio.core.prompts import PromptReading, TokenCount
from studio.core.race import BUDGETS, Race, RaceView, lanes_of
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest, parse_request, request_of
from studio.core.settings import Settings
from studio.core.sketch import sketch_of
from studio.jobs.annotating import Annotating
from studio.jobs.archive import Archive
from studio.jobs.board import MemoryBoard
from studio.jobs.channel import Message
from studio.jobs.database import Database
from studio.jobs.feed import Feed
from studio.jobs.frames import FrameStore
from studio.jobs.host import Patience, WorkerHost
from studio.jobs.inputs import InputStore
from studio.jobs.log import EventLog, Following
from studio.jobs.queue import JobQueue
from studio.jobs.races import FOLDER as RACES
from studio.jobs.races import Races
from studio.jobs.recovery import recover
from studio.jobs.storage import PRIVATE, FolderLock
from studio.jobs.traces import TraceStore
from studio.manager.conversion.imports import expected_seconds
from studio.manager.disk.cards import check_override
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.folders import check_request
from studio.manager.disk.notes import small_preview
from studio.manager.disk.traces import read_trace, read_trace_of
from studio.manager.families import FAMILIES
from studio.manager.memory import planning
from studio.manager.memory.ledger import read_ledger, read_moves
from studio.manager.memory.limits import host_budget
from studio.manager.prompt_tokens import count_tokens
from studio.metadata import reader
from studio.prompts.prepare import with_loras
from studio.prompts.reading import reading_of
from studio.prompts.wildcards import Wildcards
from studio.training.runs import Runs
from studio.training.training_sets import TrainingSets

log = logging.getLogger(__name__)

WORKER = "studio.worker:main"
LEDGER = "ledger.jsonl"
PACE_ROWS = 400  # of the ledger, that are looked through for former conversions


class Studio:
    """Opens at once; the worker starts beside it. `entry` names the worker's function as "module:function"."""

    def __init__(
        self,
        settings: Settings | None = None,  # None: as started without flags
        *,
        catalog: Catalog | None = None,
        entry: str = WORKER,
        patience: Patience | None = None,
    ):
        self.settings = settings = settings or Settings()
        private = settings.outputs.resolve() / PRIVATE
        self._lock = FolderLock(private)
        self._database = Database(private / "studio.db")
        self._log = EventLog(self._database)
        self._queue = JobQueue(self._database, self._log)
        self._archive = Archive(settings.outputs.resolve(), self._database)
        self._inputs = InputStore(private / "inputs")
        self._annotating = Annotating(self._inputs, settings.models)
        self._frames = FrameStore(private / "frames", self._database)
        self._traces = TraceStore(private / "traces", settings.traces)
        self._catalog = catalog or Catalog(settings.models, private / "catalog.db")
        self._board = MemoryBoard()
        self.runs = Runs(settings.runs.resolve(), settings.presets / "training", settings.models[0])
        self._sets = TrainingSets(private / "training-sets", self.runs, settings.presets / "training")
        self._take_folder()
        self._host = WorkerHost(
            entry,
            Feed(self._queue, self._log, self._frames, self._archive, self._board),
            settings_message=_settings_message(settings),
            log_file=private / "worker.log",
            patience=patience,
        )
        self._host.start()
        self.races = Races(private / RACES, self._queue, self._catalog.models, self._settled, self._host.wake)

    def submit(self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False) -> str:
        resolved = self._settled(request)
        model, _ = self._found(resolved.model)
        job = self._queue.put(sketch_of(resolved, model) if sketch else resolved, replaces=replaces, sketch=sketch)
        self._host.wake()
        if replaces is not None:
            try:
                self._cancel_if_running(replaces)
            except NotFound:
                pass  # what is gone needs no replacing
        return job

    def _settled(self, request: GenerationRequest) -> GenerationRequest:
        """Resolved, checked and prepared: ready to be queued."""
        model, path = self._found(request.model)
        request = with_loras(request, self._catalog.models(), self._wildcards())
        resolved = resolve(request, model, self._catalog.models())
        self._check_images(resolved)
        check_traces(resolved, partial(read_trace_of, self._traces.path))
        check_request(resolved, model, path)
        return prepared(resolved, self.annotate)

    def _check_images(self, request: GenerationRequest) -> None:
        """Refuse a request whose pictures were never stored, or no longer are."""
        for field, digest in request.images().items():
            if not self._inputs.path(digest).exists():
                raise InvalidRequest("This picture is not here any more; choose it again.", field=field)
        check_pictures(request, self._inputs.open)

    def generate(self, request: GenerationRequest | str = "", **settings: Any) -> list[PIL.Image.Image]:
        """The request's pictures, when all are made; they are in the archive as well. Raises StudioError.

        In one call: `generate("a red hat", image="photo.png", mask="mask.png", intent="add", steps=20)`. Settings are the
        fields of the request, its task and `parts`; pictures are files or PIL images.
        """
        if not isinstance(request, GenerationRequest):
            request = request_of({"prompt": request} | settings, self._stored)
        elif settings:
            raise InvalidRequest(f"{next(iter(settings))} belongs into the request that is given.")
        job = self._finished(self.submit(request))
        return [PIL.Image.open(self.image_file(image)) for image in self.job(job).images]

    def branch(self, image_id: str, step: int, **changes: Any) -> list[PIL.Image.Image]:
        """The picture, in a list, that a branch of an archived one makes; see `branch_request`. Raises StudioError."""
        return self.generate(self.branch_request(image_id, step, changes))

    def branch_request(self, image_id: str, step: int, changes: Mapping[str, Any]) -> GenerationRequest:
        return branch_of(self._archive.recipe(image_id), step, changes)

    def attention_request(self, image_id: str, values: Mapping[str, Any]) -> GenerationRequest:
        return attention_of(self._archive.recipe(image_id), values)

    def training_set(self, model: str) -> Path:
        return self._sets.path(*self._found(model))

    def race(
        self,
        prompt: str,
        samplers: Sequence[str] = (),  # none: the usual ones of the model
        spacings: Sequence[str] = (),
        evaluations: Sequence[int] = BUDGETS,
        reference_steps: int | None = None,
        **settings: Any,
    ) -> RaceView:
        """Each sampler with each spacing from one noise, and its error against a reference solution, when all is done. Settings
        are the fields of the request. Raises StudioError."""
        race = Race(
            request=parse_request({"prompt": prompt} | settings),
            lanes=lanes_of(samplers, spacings),
            evaluations=tuple(evaluations),
            reference_steps=reference_steps,
        )
        return self.races.get(self._finished(self.races.start(race)))

    def _finished(self, job: str) -> str:
        """The job, when it has ended. Raises StudioError if it failed."""
        for event in self.follow(job):
            if isinstance(event, Failed):
                raise StudioError(event.message, field=event.field)
        return job

    def _stored(self, picture: Any) -> str:
        """Keeps a picture given as a file or as a PIL image; its hash."""
        if isinstance(picture, PIL.Image.Image):
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            return self._inputs.add(buffer.getvalue())
        return self._inputs.add(read_file(Path(picture).expanduser()))

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def follow(self, job_id: str, after: int = 0) -> Following:
        self._queue.get(job_id)
        return self._log.follow(job_id, after)

    def job(self, job_id: str) -> JobView:
        return self._queue.get(job_id)

    def jobs(self, *, states: tuple[str, ...] = (), limit: int = 50) -> list[JobView]:
        return _empty_if_unreadable(lambda: self._queue.list(states, limit))

    def cancel(self, job_id: str) -> bool:
        if self.job(job_id).state in TERMINAL:
            return False
        return self._queue.drop(job_id) or self._cancel_if_running(job_id)

    def cancel_all(self, *, running: bool) -> int:
        cancelled = self._queue.drop_all()
        if running:
            cancelled += sum(self._cancel_if_running(job) for job in self._queue.view().running)
        return cancelled

    def retry(self, job_id: str) -> str:
        return self.submit(self.job(job_id).request)

    def resume(self, job_id: str) -> str:
        job = self.submit(remaining(self.job(job_id)))
        self._queue.dismiss(job_id)
        return job

    def stopped(self, limit: int = 12) -> list[StoppedRun]:
        return _empty_if_unreadable(lambda: self._queue.stopped(limit))

    def discard(self, job_id: str) -> None:
        self._queue.dismiss(self.job(job_id).id)

    def models(self) -> list[ModelInfo]:
        return self._catalog.models()

    def options(self, model: str) -> ModelOptions:
        return options_for(find_model(self._catalog.models(), model))

    def read_prompt(self, model: str, text: str) -> PromptReading:
        info, path = self._found(model)

        def count(words: str) -> TokenCount | None:
            return count_tokens(words, path, info.pipeline, info.family, self.settings.models)

        return reading_of(text, info, self._catalog.models(), self._wildcards(), count)

    def _wildcards(self) -> Wildcards:
        return Wildcards(self.settings.wildcards)

    def families(self) -> list[Choice]:
        return [Choice(name=name, title=family.title) for name, family in FAMILIES.items()]

    def preview(self, model: str) -> bytes:
        return small_preview(*self._found(model))

    def override(self, model: str, changes: Override) -> None:
        info, path = self._found(model)
        check_override(info, changes, self._catalog.models())
        self._catalog.overrides.write(path, changes)

    def plan(self, planned: PlanRequest) -> PlanView:
        info, path = self._found(planned.model)
        memory = self._board.view()
        budget, device = memory.budget or host_budget(), memory.device.partition(":")[0] or "cpu"
        return planning.plan_of(planned, self._catalog, info, path, budget, device)

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        return self._frames.get(job_id, image, step, kind)

    def film(self, job_id: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        return self._frames.film(job_id, image, kind)

    def add_input(self, data: bytes) -> str:
        return self._inputs.add(data)

    def input_file(self, digest: str) -> Path:
        return self._inputs.path(digest)

    def annotators(self) -> list[AnnotatorView]:
        return self._annotating.views()

    def annotate(self, digest: str, asked: Annotation) -> str:
        return self._annotating.annotate(digest, asked)

    def images(self, *, limit: int = 50, before: float | None = None, favourites: bool = False) -> list[ImageView]:
        return _empty_if_unreadable(lambda: self._archive.images(limit=limit, before=before, favourites=favourites))

    def gallery(self, query: GalleryQuery) -> GalleryPage:
        return self._archive.gallery(query)

    def gallery_counts(self, *, trash: bool) -> GalleryCounts:
        return self._archive.gallery_counts(trash=trash)

    def gallery_ids(self, query: GalleryQuery) -> list[str]:
        return self._archive.gallery_ids(query)

    def image(self, image_id: str) -> ImageView:
        return self._archive.image(image_id)

    def image_file(self, image_id: str) -> Path:
        return self._archive.file(image_id)

    def recipe(self, image_id: str) -> Recipe:
        return self._archive.recipe(image_id)

    def descent(self, image_id: str) -> list[ImageView]:
        """The pictures that an image was made from, the latest first, as far as they were made here."""
        return self._archive.descent(image_id)

    def trace_file(self, image_id: str) -> Path:
        return self._traces.path(self._archive.image(image_id).sha256)

    def trace_info(self, image_id: str) -> dict[str, Any]:
        info, header = read_trace(self.trace_file(image_id))
        tensors = {name: {"dtype": each.dtype, "shape": list(each.shape)} for name, each in header.tensors.items()}
        return info.model_dump(mode="json") | {"bytes": header.size, "tensors": tensors}

    def relatives(self, image_id: str) -> Relatives:
        return self._archive.relatives(image_id)

    def delete_image(self, image_id: str) -> None:
        self._archive.delete(image_id)

    def restore_image(self, image_id: str) -> None:
        self._archive.restore(image_id)

    def trashed_file(self, image_id: str) -> Path:
        return self._archive.trashed_file(image_id)

    def purge_image(self, image_id: str) -> None:
        self._archive.purge(image_id)

    def set_favourite(self, image_id: str, favourite: bool) -> None:
        self._archive.set_favourite(image_id, favourite)

    def thumbnail(self, image_id: str) -> bytes:
        return self._archive.thumbnail(image_id)

    def read_settings(self, data: bytes) -> dict[str, Any]:
        """Fields of GenerationRequest, and "notes": one sentence for each thing that could not be taken over."""
        settings = reader.read(data, self._catalog.models())
        return settings.fields | {"notes": list(settings.notes)}

    def presets(self) -> list[Preset]:
        return read_presets(self.settings.presets)

    def styles(self) -> list[Style]:
        return read_styles(self.settings.presets)

    def memory(self) -> MemoryView:
        return self._board.view()

    def watch_queue(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        return self._queue.watch(seen, seconds)

    def watch_memory(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        return self._board.watch(seen, seconds)

    def manage(self, command: MemoryCommand) -> None:
        if command.model:
            command = command.model_copy(update={"model": find_model(self._catalog.models(), command.model).id})
        self._board.ask(command, lambda: self._host.send({"do": "manage", "command": command.model_dump(mode="json")}))
        if command.action == "budget":  # a worker that takes the place of this one keeps to it too
            self._host.update_settings(
                _settings_message(self.settings.model_copy(update={"memory_budget": command.bytes}))
            )

    def moves(self, limit: int = 60) -> list[MoveView]:
        return read_moves(self.settings.outputs / PRIVATE / LEDGER, limit)

    def import_seconds(self, model: str) -> float | None:
        info, _ = self._found(model)
        if info.kind == "diffusers" or info.kind not in MODEL_KINDS:
            return None
        return expected_seconds(info.bytes, read_ledger(self.settings.outputs / PRIVATE / LEDGER, PACE_ROWS))

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, None between two workers."""
        return self._host.pid

    def close(self) -> None:
        """End the worker, keep what is known, let the folder go. Waiting jobs wait for the next start."""
        self._host.close()
        self._log.close()
        self._database.close()
        self._lock.release()

    def _take_folder(self) -> None:
        """Lock the folder and take up what a former studio left; a folder that cannot be written is tried again later."""
        try:
            self._lock.acquire()
        except OSError as error:
            log.warning("The outputs folder cannot be written yet: %s.", error.strerror)
        self._database.on_open(self._recover)
        try:
            with self._database.read("open the index of jobs and images"):
                pass
        except StorageError as error:
            log.warning("%s", error)

    def _recover(self) -> None:
        self._lock.acquire()
        recover(self._archive, self._frames, self._queue)

    def _found(self, model: str) -> tuple[ModelInfo, Path]:
        info = find_model(self._catalog.models(), model)
        path = self._catalog.path(info.id)
        if path is None:
            raise NotFound("model", model)
        return info, path

    def _cancel_if_running(self, job_id: str) -> bool:
        if self.job(job_id).state != "running":
            return False
        self._host.cancel(job_id)
        return True


def _settings_message(settings: Settings) -> Message:
    return {"settings": settings.model_dump(mode="json", exclude={"auth"})}


def _empty_if_unreadable(listing: Callable[[], list[Any]]) -> list[Any]:
    """Lists are empty while the folder cannot be opened, so that the window opens all the same."""
    try:
        return listing()
    except StorageError as error:
        log.warning("%s", error)
        return []
