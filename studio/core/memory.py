"""What is known of a device's memory, what may be asked of it, and what a model would need, as plain values.

Bytes everywhere. Refuses to know how weights are moved.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Dtype = Literal["fp32", "bf16", "fp16"]


class MemoryWish(BaseModel):
    """A command that was handed to the worker and is not carried out yet; `what` and `fraction` once it is at work on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    model: str = ""
    what: str = ""  # a sentence fragment: "reading unet"
    fraction: float | None = None  # 0..1


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


class PlanWish(BaseModel):
    """A run to be planned. Sizes of None are the model's own, a budget of None is the one that is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(max_length=300)
    width: int | None = Field(None, ge=8, le=8192)
    height: int | None = Field(None, ge=8, le=8192)
    batch: int = Field(1, ge=1, le=64)
    dtype: Dtype = "bf16"


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
