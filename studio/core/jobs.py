"""A job as others see it. The request says what was asked for, the job what became of it. They are two types."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from studio.core.errors import InvalidRequest
from studio.core.events import Loading, Step
from studio.core.request import GenerationRequest, Seed

State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
TERMINAL: frozenset[str] = frozenset({"done", "failed", "cancelled", "interrupted"})


def kind_of(job: str) -> str:
    """What stands before the dash in a job's id: "sketch", "race"; empty for an ordinary one."""
    kind, dash, _ = job.rpartition("-")
    return kind if dash else ""


class JobView(BaseModel):
    """One job at one moment. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    request: GenerationRequest
    state: State
    created: float
    started: float | None = None
    ended: float | None = None
    ahead: int = 0  # jobs before it in the queue
    message: str | None = None  # why it failed
    field: str | None = None
    images: tuple[str, ...] = ()  # ids of its archived images


def remaining(job: JobView) -> GenerationRequest:
    """The request for those of a stopped job's images that it did not make. Image k of a job has the request's seed + k."""
    if job.state not in TERMINAL - {"done"}:
        raise InvalidRequest("This run was not stopped.")
    request, made = job.request, len(job.images)
    if made >= request.count:
        raise InvalidRequest("All pictures of this run were made before it was stopped.")
    left = request.count - made
    changes = {"seed": request.seed + made, "count": left, "batch_size": min(request.batch_size, left)}
    return request.model_copy(update=changes)


class ImageView(BaseModel):
    """One archived image. `recipe` is read from the archive, not from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    job: str
    index: int
    seed: Seed
    width: int
    height: int
    created: float
    path: str
    sha256: str
    request: GenerationRequest
    favourite: bool = False


class StoppedRun(BaseModel):
    """A run that ended before its last picture was made, at the last step that can be looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    request: GenerationRequest
    image: int  # which image of the job
    step: int  # index of the last step
    total: int
    ended: float


class QueuedJob(BaseModel):
    """A job that runs or waits, as the queue lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    state: Literal["running", "queued"]
    prompt: str = ""  # its beginning
    model: str = ""
    count: int = 1
    steps: int = 0  # of each image
    pixels: int = 0  # of one image
    started: float | None = None
    latest: Loading | Step | None = None  # what a running job reported last


class QueueView(BaseModel):
    """The queue at one moment: its jobs in the order in which they run, and what a page with nothing to do turns to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    waiting: int = 0
    running: tuple[str, ...] = ()  # ids
    newest: str | None = None  # id of the job that was queued last
    jobs: tuple[QueuedJob, ...] = ()  # running ones first, then the first of those that wait
    at: float = 0.0  # this moment by the studio's clock, in seconds since the epoch
