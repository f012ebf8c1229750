"""The facade that the window, the server, the CLI and Python users hold, as a Protocol; `studio.studio` is the real one.

Everything returned is a plain value of core. Every method raises StudioError with one sentence for a person.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from studio.core.annotators import Annotation, AnnotatorView
from studio.core.events import Event
from studio.core.gallery import GalleryCounts, GalleryPage, GalleryQuery, Relatives
from studio.core.jobs import ImageView, JobView, QueueView, StoppedRun
from studio.core.memory import MemoryCommand, MemoryView, MoveView, PlanRequest, PlanView
from studio.core.models import Choice, ModelInfo, ModelOptions, Override
from studio.core.presets import Preset, Style
from studio.core.prompts import PromptReading
from studio.core.race import Races
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.training import Runs


class Following(Protocol):
    """A job's events as they come. `close`, from any thread, ends the iteration, also while another thread waits in it."""

    def __iter__(self) -> Iterator[Event]: ...

    def __next__(self) -> Event: ...

    def close(self) -> None: ...


class Studio(Protocol):
    @property
    def runs(self) -> Runs:
        """Trainings: each is a process of its own, which goes on when the studio closes."""

    @property
    def races(self) -> Races:
        """Sampler races: jobs of the queue that make no pictures for the archive."""

    def submit(self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False) -> str:
        """Resolve, check and queue; returns the job's id. A job named by `replaces` is dropped if it still waits, and
        cancelled if it runs (the Live mode: the newest request takes the waiting one's place). A `sketch` is a quick version
        in fewer steps (`core.sketch`), of which nothing is kept."""

    def follow(self, job_id: str, after: int = 0) -> Following:
        """The job's events from number `after` on, past ones first, then as they happen; ends after a terminal one."""

    def job(self, job_id: str) -> JobView: ...

    def jobs(self, *, states: tuple[str, ...] = (), limit: int = 50) -> list[JobView]:
        """Newest first, without sketches; all states if none are named."""

    def cancel(self, job_id: str) -> bool:
        """True if the job had not ended. Takes effect within one step."""

    def cancel_all(self, *, running: bool) -> int:
        """Cancel every job that waits, and those that run too if `running`; how many were cancelled."""

    def retry(self, job_id: str) -> str:
        """Queue the same request again (same seed); the new job's id."""

    def resume(self, job_id: str) -> str:
        """Queue what a stopped run did not come to: the same request, without the images that it made; the new job's id."""

    def stopped(self, limit: int = 12) -> list[StoppedRun]:
        """Runs that were stopped after a step that can be looked at, newest first, without those replaced in Live."""

    def discard(self, job_id: str) -> None:
        """List a stopped run no more."""

    def models(self) -> list[ModelInfo]: ...

    def options(self, model: str) -> ModelOptions: ...

    def read_prompt(self, model: str, text: str) -> PromptReading:
        """How much of a prompt the model reads, and which words of it it does not know."""

    def families(self) -> list[Choice]:
        """What a single file may be said to be, if it was not known rightly for what it is."""

    def preview(self, model: str) -> bytes:
        """JPEG of the picture that lies beside the model, made small. Raises NotFound where there is none."""

    def override(self, model: str, changes: Override) -> None:
        """Keep the user's own word on a model, from its next use on."""

    def import_seconds(self, model: str) -> float | None:
        """How long converting a single file before its first picture takes, about; None for what needs none."""

    def plan(self, planned: PlanRequest) -> PlanView:
        """Who would be in memory at each stage of a run, from headers alone; OutOfMemory with the arithmetic if it cannot be."""

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        """JPEG of a step ("x0" or "xt"); None if there is none (not yet, or no longer)."""

    def film(self, job_id: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        """(step, JPEG) of every frame of one of the job's images that is there now, far apart ones first: what came so far is
        always spread over the whole run."""

    def add_input(self, data: bytes) -> str:
        """Check a picture (`core.pictures`), store it under its content's hash and return that; the same one is stored once."""

    def input_file(self, digest: str) -> Path:
        """The PNG of a picture that was stored with `add_input`; raises NotFound."""

    def annotators(self) -> list[AnnotatorView]:
        """What makes control images from pictures, and why one cannot be used: the weights that it needs, and their place."""

    def annotate(self, digest: str, asked: Annotation) -> str:
        """Make the control image of a stored picture and store it; returns its hash. Takes seconds, or minutes."""

    def images(self, *, limit: int = 50, before: float | None = None, favourites: bool = False) -> list[ImageView]:
        """Newest first; `favourites`: no others."""

    def gallery(self, query: GalleryQuery) -> GalleryPage:
        """A page of all pictures ever made, or of those in the trash, that the query's filters fit."""

    def gallery_counts(self, *, trash: bool) -> GalleryCounts:
        """How many pictures there are, and of what they are: all of them, or those in the trash."""

    def gallery_ids(self, query: GalleryQuery) -> list[str]:
        """Of all pictures that the query's filters fit, whatever its page."""

    def image(self, image_id: str) -> ImageView: ...

    def image_file(self, image_id: str) -> Path: ...

    def recipe(self, image_id: str) -> Recipe: ...

    def trace_file(self, image_id: str) -> Path:
        """The file of the trace of an image's run (`core.traces`). Raises NotFound where none is kept."""

    def trace_info(self, image_id: str) -> dict[str, Any]:
        """What the trace says of itself: the fields of `TraceInfo`, its "bytes", and its "tensors" by name."""

    def training_set(self, model: str) -> Path:
        """The file of the pictures that a model was trained on, or of its first ones (`training.training_set`); the first time it
        takes up to some minutes. Raises InvalidRequest where they are not known."""

    def branch_request(self, image_id: str, step: int, changes: Mapping[str, Any]) -> GenerationRequest:
        """The request of an image's run from a step on: the steps before are played back from its trace. `changes` are those of
        `core.branching.CHANGES`, by name. Raises InvalidRequest."""

    def attention_request(self, image_id: str, values: Mapping[str, Any]) -> GenerationRequest:
        """The request that makes an image again and adds its attention to its trace; `values`: "side", "heads". Raises
        InvalidRequest."""

    def relatives(self, image_id: str) -> Relatives:
        """What a picture was made from, and what was made from it."""

    def delete_image(self, image_id: str) -> None:
        """Move its file to the trash; it is in no list until it is restored."""

    def restore_image(self, image_id: str) -> None: ...

    def trashed_file(self, image_id: str) -> Path:
        """The file of a picture that is in the trash."""

    def purge_image(self, image_id: str) -> None:
        """Delete a picture that is in the trash for good."""

    def set_favourite(self, image_id: str, favourite: bool) -> None: ...

    def thumbnail(self, image_id: str) -> bytes:
        """JPEG, at most 256 px on its longer side."""

    def read_settings(self, data: bytes) -> dict[str, Any]:
        """Settings found in an image file made here, or by one of the programs of `metadata`, as fields of GenerationRequest;
        a task may lack its picture. Raises InvalidRequest, which says what the file carries instead, if there are none.

        Beside them "notes": one sentence for each thing that was found and could not be taken over."""

    def presets(self) -> list[Preset]: ...

    def styles(self) -> list[Style]: ...

    def memory(self) -> MemoryView: ...

    def watch_queue(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        """The queue's view and its number, once the number differs from `seen` (0: at once), or after `seconds`."""

    def watch_memory(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        """The view and its number, once the number differs from `seen` (0: at once), or after `seconds`."""

    def manage(self, command: MemoryCommand) -> None:
        """Send the command to the worker; `memory` reports its result."""

    def moves(self, limit: int = 60) -> list[MoveView]:
        """The latest rows of the ledger, newest first."""

    def close(self) -> None: ...
