"""What is known of a device's memory, what may be asked of it, and what a model would need, as plain values.

Bytes everywhere. Refuses to know how weights are moved.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from studio.core.request import Dtype

FixedDtype = Literal["fp32", "bf16", "fp16"]


class PendingCommand(BaseModel):
    """A command that was handed to the worker and is not carried out yet; `what` and `fraction` once it is at work on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    model: str = ""
    what: str = ""  # a sentence fragment: "reading unet"
    fraction: float | None = None  # 0..1


class ImportView(BaseModel):
    """A single file on its way to a diffusers folder in the run's dtype, or one whose last try failed.

    Waiting: no fraction, no problem. Under way: `fraction` grows from 0 to 1. Failed: `problem` says why in one sentence, and
    stays until the next try. One that is done is no longer reported; its id is then among `MemoryView.prepared`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str  # its id
    dtype: str  # fp32, bf16, fp16
    what: str = ""  # a sentence fragment, as in Loading: "converting unet"
    fraction: float | None = None  # 0..1
    problem: str | None = None


class MemoryView(BaseModel):
    """The worker's last report: memory in bytes, the models in it, and imports."""

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
    pending: tuple[PendingCommand, ...] = ()  # commands handed over and not carried out yet, oldest first
    problems: dict[str, str] = {}  # model id ("" for none) -> why the last thing asked of it could not be done


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


class MoveView(BaseModel):
    """One row of the ledger: a component that came or went, or a run's working memory as it was measured."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a ledger may be another version's

    time: float  # seconds since the epoch
    move: str  # load | evict | stream | measure | import
    component: str = ""
    models: tuple[str, ...] = ()  # ids of those that the component is part of, or that ran
    predicted: int | None = None
    measured: int | None = None
    seconds: float | None = None
    stage: str = ""
    reason: str = ""


class PlanRequest(BaseModel):
    """A run to be planned. Sizes of None are the model's own, a budget of None is the one that is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(max_length=300)
    width: int | None = Field(None, ge=8, le=8192)
    height: int | None = Field(None, ge=8, le=8192)
    batch: int = Field(1, ge=1, le=64)
    dtype: FixedDtype = "bf16"


class PlannedPart(BaseModel):
    """A component during one stage; `streamed` if only a window of it is there at any time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: str
    bytes: int
    streamed: bool = False


class PlannedStage(BaseModel):
    """Who is in memory during one stage of a run, and the working memory beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str = ""  # title of the model whose stage it is, where a run takes several
    parts: tuple[PlannedPart, ...]
    working: int
    peak: int  # parts and working memory together


class PlanView(BaseModel):
    """A run as it would go. `whole`: the model stays in memory from first to last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: int
    peak: int
    whole: bool
    width: int
    height: int
    stages: tuple[PlannedStage, ...]
    notes: tuple[str, ...] = ()  # what the budget asks of the run beside that: "decoded in tiles"
