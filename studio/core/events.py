"""What happens to a job: one closed set of frozen, JSON-clean events, in one order.

    Queued+  Loading*  (Step* Waiting* Image*)*  Done | Failed | Cancelled | Interrupted

Pictures never travel in events: a Step says which frames now exist, an Image carries the id of an archived file.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.core.request import Seed


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def terminal(self) -> bool:
        return isinstance(self, Done | Failed | Cancelled | Interrupted)


class Queued(_Event):
    """The job waits; `ahead` jobs run before it. Said again when that changes while somebody follows the job."""

    kind: Literal["queued"] = "queued"
    ahead: int = 0


class Loading(_Event):
    """The model is being made ready. `what` is a sentence fragment ("reading the U-Net"); `fraction` 0..1 if known."""

    kind: Literal["loading"] = "loading"
    model: str
    what: str = ""
    fraction: float | None = None


class Waiting(_Event):
    """The run cannot go on until something outside it changes, such as a full disk. `message` is a sentence for people."""

    kind: Literal["waiting"] = "waiting"
    message: str


class Norms(BaseModel):
    """Root mean square of each tensor of a step; None where the step has no such tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x_t: float
    x0: float | None = None
    cond: float | None = None
    uncond: float | None = None
    difference: float | None = None  # cond - uncond


class Step(_Event):
    """One denoising step of the images `images` (indices within the job) has ended."""

    kind: Literal["step"] = "step"
    index: int  # 0-based
    total: int
    images: tuple[int, ...] = (0,)
    timestep: float
    sigma: float | None = None  # noise level the step started from, in the scheduler's own convention
    seconds: float  # this step's own
    elapsed: float  # since the batch's first step began
    remaining: float | None = None  # estimate for the entire job
    norms: tuple[Norms, ...] = ()  # one per image of the batch
    frames: tuple[str, ...] = ()  # which frame kinds will be on disk for it: "xt", "x0"


class Image(_Event):
    """An image was saved. `id` addresses it in the archive for good."""

    kind: Literal["image"] = "image"
    id: str
    index: int  # which image of the job
    seed: Seed
    width: int
    height: int
    path: str
    sha256: str


class Done(_Event):
    kind: Literal["done"] = "done"
    seconds: float


class Failed(_Event):
    """`message` is one sentence for a person; `field` names the setting at fault, if one is."""

    kind: Literal["failed"] = "failed"
    message: str
    field: str | None = None


class Cancelled(_Event):
    kind: Literal["cancelled"] = "cancelled"


class Interrupted(_Event):
    """The worker died or the studio was stopped under the job; it can be retried."""

    kind: Literal["interrupted"] = "interrupted"
    message: str = "The worker stopped while this ran."


Event = Annotated[
    Queued | Loading | Waiting | Step | Image | Done | Failed | Cancelled | Interrupted,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def to_json(event: Event) -> str:
    return event.model_dump_json()


def from_json(text: str | bytes) -> Event:
    return _ADAPTER.validate_json(text)
