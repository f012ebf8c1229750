"""The Desk: what the window, the server, the CLI and Python users hold. A Protocol; `studio.desk` is the real one.

Everything returned is a plain value of core. Every method raises StudioError with one sentence for a person.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from studio.core.events import Event
from studio.core.jobs import ImageView, JobView
from studio.core.models import ModelInfo, ModelOptions
from studio.core.request import GenerationRequest


class MemoryView(BaseModel):
    """Memory in bytes, as the worker last told it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int = 0
    used: int = 0
    device: str = ""
    residents: tuple[tuple[str, int], ...] = ()  # (component, bytes)
    models: tuple[str, ...] = ()  # ids of models that are in memory whole
    pinned: tuple[str, ...] = ()  # and of those that a person keeps there


class MemoryCommand(BaseModel):
    """What a person may ask of the worker's memory. Carried out between jobs, in the order given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Literal["load", "unload", "pin", "unpin", "budget"]
    model: str = Field("", max_length=300)  # load, pin, unpin: its id; unload: empty for everything
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

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        """JPEG of a step ("x0" or "xt"); None if there is none (not yet, or no longer)."""

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

    def manage(self, command: MemoryCommand) -> None:
        """Hand the command to the worker; `memory` tells what became of it."""

    def close(self) -> None: ...
