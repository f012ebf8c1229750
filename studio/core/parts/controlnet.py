"""A ControlNet (Zhang et al. 2023): a picture, such as edges or depth, that the result is to follow."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import ImageHash, Name, Number, extra
from studio.core.parts.base import PartBase

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


class ControlNet(PartBase):
    kind: Literal["controlnet"] = "controlnet"
    title: ClassVar[str] = "ControlNet"
    plural: ClassVar[str] = "ControlNets"
    help: ClassVar[str] = "Have the picture follow another one: its edges, depth or pose."
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "controlnet"

    image: ImageHash = Field(
        title="Control image",
        description="The picture to follow, as the ControlNet was trained to read it.",
        json_schema_extra=extra(widget="image", wide=True),
    )
    model: Name = Field(
        title="ControlNet",
        description="The ControlNet's file or folder.",
        json_schema_extra=extra(widget="model", model_kind="controlnet"),
    )
    weight: Number = Field(
        1.0,
        ge=0.0,
        le=2.0,
        title="Weight",
        description="How closely to follow the control image.",
        json_schema_extra=extra(soft=(0, 2, 0.05)),
    )
    start: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        title="Start",
        description="The share of the steps after which it begins to act.",
        json_schema_extra=extra(soft=(0, 1, 0.05), advanced=True),
    )
    end: Number = Field(
        1.0,
        ge=0.0,
        le=1.0,
        title="End",
        description="The share of the steps after which it no longer acts.",
        json_schema_extra=extra(soft=(0, 1, 0.05), advanced=True),
    )
    resize: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        title="Resize",
        description="How a control image of another shape is brought to width and height.",
        json_schema_extra=extra(
            choices=(("crop", "Crop to fit"), ("pad", "Pad to fit"), ("stretch", "Stretch")), advanced=True
        ),
    )

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> "ControlNet":
        if self.start >= self.end:
            raise InvalidRequest(f"Start must lie before End; got {self.start:g} and {self.end:g}.", field="start")
        return self
