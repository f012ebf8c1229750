"""The Desk: what the window, the server, the CLI and Python users hold. A Protocol; `studio.desk` is the real one.

Everything returned is a plain value of core. Every method raises StudioError with one sentence for a person.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from studio.core.events import Event
from studio.core.jobs import ImageView, JobView
from studio.core.memory import MemoryWish, MoveView, PlanView, PlanWish
from studio.core.models import Choice, ModelInfo, ModelOptions, Override
from studio.core.request import Dtype, GenerationRequest


class ImportView(BaseModel):
    """A single file on its way to a diffusers folder in the run's dtype, or one whose last try failed.

    Waiting: no fraction, no problem. Under way: `fraction` grows from 0 to 1. Failed: `problem` says why in one sentence, and
    stays until the next try. One that is done is no longer told of; its id is then among `MemoryView.prepared`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str  # its id
    dtype: str  # fp32, bf16, fp16
    what: str = ""  # a sentence fragment, as in Loading: "converting unet"
    fraction: float | None = None  # 0..1
    problem: str | None = None


class MemoryView(BaseModel):
    """Memory in bytes, and what is done to have models ready for it, as the worker last told it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = 0
    used: int = 0
    device: str = ""
    residents: tuple[tuple[str, int], ...] = ()  # (component, bytes)
    holders: tuple[tuple[str, ...], ...] = ()  # for each resident, the ids of the models that it is part of
    models: tuple[str, ...] = ()  # ids of models that are in memory whole
    pinned: tuple[str, ...] = ()  # and of those that a person keeps there
    imports: tuple[ImportView, ...] = ()  # conversions under way, those that wait, those that failed
    prepared: tuple[str, ...] = ()  # ids of single files that are converted already, in one dtype at least
    wishes: tuple[MemoryWish, ...] = ()  # commands handed over and not carried out yet, oldest first
    problems: dict[str, str] = {}  # model id ("" for none) -> why the last thing asked of it could not be done


class QueueView(BaseModel):
    """The queue at one moment: what the bar says of it, and what a page with nothing to do turns to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    waiting: int = 0
    running: tuple[str, ...] = ()  # ids
    newest: str | None = None  # id of the job that was queued last


class MemoryCommand(BaseModel):
    """What a person may ask of the worker's memory. Carried out between jobs, in the order given.

    But `import` (have a single file converted in the background) and `cancel_import` (stop that) are heard at once, also
    while a job runs. A person's import goes on when a job that waits for it is cancelled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["load", "unload", "pin", "unpin", "budget", "import", "cancel_import"]
    model: str = Field("", max_length=300)  # its id; unload: empty for everything
    dtype: Dtype = "auto"  # import: the number format to convert to; auto is the one that the model runs in here
    bytes: int | None = Field(None, ge=1)  # budget: None takes what the device has


class Preset(BaseModel):
    """A named set of settings (`values` are fields of GenerationRequest), from presets/*.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str = ""
    values: dict[str, Any] = {}


class Style(BaseModel):
    """Words put around a prompt: `prompt` holds "{prompt}" where the person's words go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    prompt: str = "{prompt}"
    negative_prompt: str = ""


class Desk(Protocol):
    def submit(self, request: GenerationRequest, *, replaces: str | None = None) -> str:
        """Resolve, check and queue; returns the job's id. A job named by `replaces` is dropped if it still waits, and
        cancelled if it runs (the Live mode: the newest wish takes the waiting one's place)."""

    def follow(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """The job's events from number `after` on, past ones first, then as they happen; ends after a terminal one."""

    def job(self, job_id: str) -> JobView: ...

    def jobs(self, *, states: tuple[str, ...] = (), limit: int = 50) -> list[JobView]:
        """Newest first; all states if none are named."""

    def cancel(self, job_id: str) -> bool:
        """True if the job had not ended. Takes effect within one step."""

    def retry(self, job_id: str) -> str:
        """Queue the same request again (same seed); the new job's id."""

    def models(self) -> list[ModelInfo]: ...

    def options(self, model: str) -> ModelOptions: ...

    def families(self) -> list[Choice]:
        """What a single file may be said to be, if it was not known rightly for what it is."""

    def preview(self, model: str) -> bytes:
        """JPEG of the picture that lies beside the model, made small. Raises NotFound where there is none."""

    def override(self, model: str, changes: Override) -> None:
        """Keep the user's own word on a model, from its next use on."""

    def import_seconds(self, model: str) -> float | None:
        """How long converting a single file before its first picture takes, about; None for what needs none."""

    def plan(self, wish: PlanWish) -> PlanView:
        """Who would be in memory at each stage of a run, from headers alone; OutOfMemory with the arithmetic if it cannot be."""

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        """JPEG of a step ("x0" or "xt"); None if there is none (not yet, or no longer)."""

    def film(self, job_id: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        """(step, JPEG) of every frame of one of the job's images that is there now, far apart ones first: what came so far is
        always spread over the whole run."""

    def add_input(self, data: bytes) -> str:
        """Check a picture (`core.pictures`), store it under its content's hash and return that; the same one is stored once."""

    def images(self, *, limit: int = 50, before: float | None = None) -> list[ImageView]: ...

    def image(self, image_id: str) -> ImageView: ...

    def image_file(self, image_id: str) -> Path: ...

    def thumbnail(self, image_id: str) -> bytes:
        """JPEG, at most 256 px on its longer side."""

    def read_settings(self, data: bytes) -> dict[str, Any]:
        """Settings found in an image file made here, or by AUTOMATIC1111 and its kin, as fields of GenerationRequest.

        Beside them "notes": one sentence for each thing that was found and could not be taken over."""

    def presets(self) -> list[Preset]: ...

    def styles(self) -> list[Style]: ...

    def memory(self) -> MemoryView: ...

    def watch_queue(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        """The queue's view and its number, once that is another than `seen` or after `seconds`; 0 is always answered at once."""

    def watch_memory(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        """The view and its number, as soon as it is another than number `seen` (0: at once), or after `seconds` as it stands."""

    def manage(self, command: MemoryCommand) -> None:
        """Hand the command to the worker; `memory` tells what became of it."""

    def moves(self, limit: int = 60) -> list[MoveView]:
        """The latest rows of the ledger, newest first."""

    def close(self) -> None: ...
