"""How the models that enlarge a cascade's first picture are run (Ho et al. 2021).

The size that is asked for says how far a run goes: the first model's own size needs it alone.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import Integer, Number, extra
from studio.core.parts.base import PartBase
from studio.core.stages import Stage
from studio.core.tasks.upscale import Upscale

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


class Cascade(PartBase):
    kind: Literal["cascade"] = "cascade"
    title: ClassVar[str] = "Upper stages"
    plural: ClassVar[str] = "upper stages"
    help: ClassVar[str] = "How the models that enlarge the first one's picture are run."

    steps: Integer | None = Field(
        None,
        ge=1,
        le=1000,
        title="Upper stages' steps",
        description="Steps of each model that enlarges the first one's picture. Empty: that model's own.",
        json_schema_extra=extra(infotext="Upper steps"),
    )
    guidance_scale: Number | None = Field(
        None,
        ge=0.0,
        le=50.0,
        title="Upper stages' CFG",
        description="Classifier-free guidance of the models that enlarge the picture. Empty: each one's own.",
        json_schema_extra=extra(infotext="Upper CFG scale"),
    )
    noise_level: Integer | None = Field(
        None,
        ge=0,
        le=999,
        title="Noise level",
        description="How much noise is put on a picture before the next model enlarges it: more leaves that model more to "
        "invent. Empty: its own.",
        json_schema_extra=extra(infotext="Noise level"),
    )

    @classmethod
    def implied(cls, request: "GenerationRequest", model: "ModelInfo") -> "Cascade | None":
        return cls() if model.cascade and _depth(request, model) else None

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> "Cascade":
        cascade = model.cascade
        if cascade is None:
            raise InvalidRequest(
                f"Only models that work in stages have upper stages, and {model.title} is not one here.",
                field=self._given(),
            )
        for enlarger in cascade.enlargers[: _depth(request, model)]:
            if self.noise_level is not None and self.noise_level > enlarger.most_noise:
                raise InvalidRequest(
                    f"{enlarger.title} knows noise levels up to {enlarger.most_noise}; got {self.noise_level}.",
                    field="noise_level",
                )
        return self

    def stages(self, stages: tuple[Stage, ...], model: "ModelInfo") -> tuple[Stage, ...]:
        if model.cascade is None:
            return stages
        (first, *rest), request = stages, stages[0].request
        assert request.width is not None and request.height is not None
        own, *upper = model.cascade.parts(request.width, request.height)
        others = tuple(part for part in request.parts if part != self)
        made = [Stage(first.model, request.changed(width=own[0], height=own[1], parts=others))]
        for enlarger, (width, height) in zip(model.cascade.enlargers, upper, strict=False):
            noise = enlarger.noise_level if self.noise_level is None else self.noise_level
            scale = enlarger.guidance_scale if self.guidance_scale is None else self.guidance_scale
            asked = request.changed(
                model=enlarger.id,
                width=width,
                height=height,
                sampler=enlarger.sampler,
                spacing="default",
                steps=self.steps or enlarger.steps,
                guidance_scale=scale,
                task=Upscale(noise_level=noise),
                parts=(),
            )
            made.append(Stage(enlarger.id, asked))
        return (*made, *rest)

    def _given(self) -> str | None:
        return next(
            (name for name in ("steps", "guidance_scale", "noise_level") if getattr(self, name) is not None), None
        )


def _depth(request: "GenerationRequest", model: "ModelInfo") -> int:
    """How many models enlarge the picture at the size asked for."""
    assert model.cascade is not None
    own = model.defaults
    return model.cascade.depth(request.width or own.width, request.height or own.height)
