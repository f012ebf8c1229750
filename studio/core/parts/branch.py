"""A branch: the first steps are those of a picture made before, played back from its trace; the rest are computed anew.

Prompt, guidance, sampler and the later steps' noise may differ. What decides the first steps must be as it was.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import ImageHash, Integer
from studio.core.parts.base import PartBase
from studio.core.samplers import SOLVERS

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest
    from studio.core.traces import ReadTrace

# Fields of the request that decide a run's first steps, by the words for them.
FIXED = {"model": "model", "steps": "number of steps", "width": "width", "height": "height", "spacing": "spacing", "task": "task"}  # fmt: skip


class Branch(PartBase):
    kind: Literal["branch"] = "branch"
    title: ClassVar[str] = "Branch"
    plural: ClassVar[str] = "branches"
    help: ClassVar[str] = "Go on from a step of a picture made before, from its trace."
    offered: ClassVar[bool] = False

    image: ImageHash = Field(
        title="Parent", description="Hash of the pixels of the picture whose first steps are played back."
    )
    step: Integer = Field(
        ge=0,
        le=1000,
        title="From step",
        description="How many steps are played back; this one is the first to be computed.",
    )
    seed: Integer | None = Field(
        None,
        ge=0,
        le=2**53 - 1,
        title="Noise from there",
        description="Seed of the noise that the sampler adds from that step on. Empty: the picture's own noise.",
    )

    @property
    def parent(self) -> str | None:
        return self.image

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> "Branch":
        if request.count > 1:
            raise InvalidRequest("A branch is of one picture; set count to 1.")
        if self.seed is not None and not SOLVERS.get(request.sampler).stochastic:
            raise InvalidRequest(
                f"{SOLVERS.get(request.sampler).title} adds no noise after the start, so another seed would change "
                "nothing. Leave it out, or choose a sampler that does, such as euler_a.",
                field="seed",
            )
        return self

    def check(self, request: "GenerationRequest", read_trace: "ReadTrace") -> None:
        info = read_trace(self.image)
        was = info.recipe.request
        if self.step >= info.steps:
            raise InvalidRequest(
                f"The picture has {info.steps} steps, numbered from 0; a branch begins at one of them, not at {self.step}.",
                field="step",
            )
        if request.seed != info.recipe.seed:
            raise InvalidRequest(f"The picture began with seed {info.recipe.seed}; its branches need the same.")
        for name, word in FIXED.items():
            if getattr(was, name) != getattr(request, name):
                raise InvalidRequest(f"A branch keeps the {word} of its picture ({_shown(getattr(was, name))}).")


def history_of(request: "GenerationRequest", read_trace: "ReadTrace") -> tuple[int, tuple[tuple[int, int], ...]]:
    """`resumed` and `reseeded` of the run's own trace (`TraceInfo`), a branch's from those of its parent's."""
    part = next((part for part in request.parts if isinstance(part, Branch)), None)
    if part is None:
        return 0, ()
    parent = read_trace(part.image)
    reseeded = tuple(each for each in parent.reseeded if each[0] <= part.step)
    own = () if part.seed is None else ((part.step, part.seed),)
    other = request.sampler != parent.recipe.request.sampler
    return part.step if other else min(parent.resumed, part.step), (*reseeded, *own)


def _shown(value: Any) -> str:
    return str(getattr(value, "title", value)).lower()
