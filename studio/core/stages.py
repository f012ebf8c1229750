"""A run as a list of stages: each a model, what that model is asked for, and its place in the row.

A cascade, a base with its refiner, a second pass at a larger size: all of them are stages, added by the parts of the
request. What a stage makes is handed on to the next; the last one's pictures are the result. Pure.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


@dataclass(frozen=True)
class Stage:
    """`request` is this model's own: its task, steps and size."""

    model: str  # id
    request: "GenerationRequest"


def stages_of(request: "GenerationRequest", model: "ModelInfo") -> tuple[Stage, ...]:
    """The stages of a resolved request, in the order they run; one for most."""
    stages: tuple[Stage, ...] = (Stage(model.id, request),)
    for part in request.parts:
        stages = part.stages(stages, model)
    return stages
