"""The share of the steps in which a part acts: its two fields, declared once for all parts that have them, and their meaning."""

from typing import Annotated, Protocol

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import Number, extra

Start = Annotated[
    Number,
    Field(
        ge=0.0,
        le=1.0,
        title="Start",
        description="The share of the steps after which it begins to act.",
        json_schema_extra=extra(soft=(0, 1, 0.05), advanced=True),
    ),
]
End = Annotated[
    Number,
    Field(
        ge=0.0,
        le=1.0,
        title="End",
        description="The share of the steps after which it no longer acts.",
        json_schema_extra=extra(soft=(0, 1, 0.05), advanced=True),
    ),
]


class Ranged(Protocol):
    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


def check_range(part: Ranged) -> None:
    """Raises InvalidRequest where the part would act in no step."""
    if part.start >= part.end:
        raise InvalidRequest(f"Start must lie before End; got {part.start:g} and {part.end:g}.", field="start")


def acts_in(part: Ranged, step: int, steps: int) -> bool:
    """Whether it acts in that step, as diffusers decides it for ControlNets."""
    return not (step / steps < part.start or (step + 1) / steps > part.end)
