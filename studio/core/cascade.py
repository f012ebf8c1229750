"""A cascade: models run one after another, each enlarging the picture of the one before it (Ho et al. 2021). Pure values.

The size that is asked for says how far a run goes: the first model's own size needs it alone. Knows no family; which
models belong together is found by the catalog.
"""

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from studio.core.errors import InvalidRequest
from studio.core.request import DEFAULT, GenerationRequest

if TYPE_CHECKING:
    from studio.core.models import ModelInfo

FIELDS = ("upper_steps", "upper_guidance_scale", "noise_level")  # of a request, that only a cascade has a use for


class Enlarger(BaseModel):
    """A model that makes the picture `factor` times as wide and high, and what it is best used with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    factor: int
    sampler: str
    steps: int
    guidance_scale: float
    noise_level: int
    most_noise: int  # the highest noise level that it knows


class Cascade(BaseModel):
    """What follows the first model, whose own size is `width` x `height`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    enlargers: tuple[Enlarger, ...]

    def factor(self, depth: int) -> int:
        """How many times larger the picture is after `depth` enlargers."""
        return math.prod(enlarger.factor for enlarger in self.enlargers[:depth])

    def depth(self, width: int, height: int) -> int:
        """How many enlargers a size asks for: as many as bring the first model's part nearest to its own size."""
        wanted, own = math.sqrt(width * height), math.sqrt(self.width * self.height)
        return min(
            range(len(self.enlargers) + 1), key=lambda k: (round(abs(math.log(wanted / self.factor(k) / own)), 6), k)
        )

    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) after each model, the first one's own first."""
        factors = [self.factor(k) for k in range(len(self.enlargers) + 1)]
        return [(self.width * factor, self.height * factor) for factor in factors]

    def parts(self, width: int, height: int) -> list[tuple[int, int]]:
        """(width, height) after each model that a picture of this size takes; its own size last."""
        depth = self.depth(width, height)
        whole = self.factor(depth)
        return [(width * self.factor(k) // whole, height * self.factor(k) // whole) for k in range(depth + 1)]


def runs_of(request: GenerationRequest, model: "ModelInfo") -> list[tuple[str, GenerationRequest]]:
    """(id of a model, what is asked of it) in the order they run, of a resolved request; one for most models."""
    if model.cascade is None:
        return [(model.id, request)]
    assert request.width is not None and request.height is not None
    first, *upper = model.cascade.parts(request.width, request.height)
    runs = [(model.id, _with(request, first))]
    for enlarger, size in zip(model.cascade.enlargers, upper, strict=False):  # a small picture takes fewer
        runs.append((enlarger.id, _with(request, size, **_settings(request, enlarger))))
    return runs


def check_stages(request: GenerationRequest, model: "ModelInfo", width: int, height: int) -> None:
    """Raises InvalidRequest for a setting of the upper stages that the model has no use for, or that they cannot take."""
    given = [name for name in FIELDS if getattr(request, name) is not None]
    if given and model.cascade is None:
        title = GenerationRequest.model_fields[given[0]].title
        raise InvalidRequest(
            f"{title}: only models that work in stages take this, and {model.title} is not one here.", field=given[0]
        )
    depth = model.cascade.depth(width, height) if model.cascade else 0
    for enlarger in model.cascade.enlargers[:depth] if model.cascade else ():
        if request.noise_level is not None and request.noise_level > enlarger.most_noise:
            raise InvalidRequest(
                f"{enlarger.title} knows noise levels up to {enlarger.most_noise}; got {request.noise_level}.",
                field="noise_level",
            )


def _settings(request: GenerationRequest, enlarger: Enlarger) -> dict[str, Any]:
    own = {
        "steps": (request.upper_steps, enlarger.steps),
        "guidance_scale": (request.upper_guidance_scale, enlarger.guidance_scale),
        "noise_level": (request.noise_level, enlarger.noise_level),
    }
    values = {name: default if given is None else given for name, (given, default) in own.items()}
    return values | {"model": enlarger.id, "sampler": enlarger.sampler, "spacing": DEFAULT}


def _with(request: GenerationRequest, size: tuple[int, int], **values: Any) -> GenerationRequest:
    return GenerationRequest(**(request.model_dump() | {"width": size[0], "height": size[1]} | values))
