"""What every unit of control has, a ControlNet or a T2I-Adapter: a picture to follow, what made it, how closely, where
and when."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from studio.core.annotators import NONE, Annotate, Annotation
from studio.core.fields import ImageHash, Name, Number, extra
from studio.core.parts.base import PartBase
from studio.core.parts.step_range import End, Start, check_range

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


# How closely to follow, in words; the last is stronger than what most ControlNets were trained for.
STOPS = ((0.3, "Hint"), (0.6, "Loose"), (0.8, "Balanced"), (1.0, "Close"), (1.4, "Strict"))


class ControlUnit(PartBase):
    image: ImageHash = Field(
        title="Control image",
        description="The picture to follow. It is used as it is, or an annotator makes the control image from it.",
        json_schema_extra=extra(widget="control", wide=True),
    )
    source: ImageHash | None = Field(
        None,
        title="Source",
        description="The picture that the control image was made from. Empty: with an annotator, the control image has "
        "still to be made from the picture given; without one, it was made elsewhere.",
        json_schema_extra=extra(widget="image", within="image"),
    )
    annotator: Name = Field(
        NONE,
        title="Annotator",
        description="What made the control image from the source.",
        json_schema_extra=extra(within="image"),
    )
    weight: Number = Field(
        1.0,
        ge=0.0,
        le=2.0,
        title="Weight",
        description="How closely to follow the control image.",
        json_schema_extra=extra(soft=(0, 2, 0.05), stops=STOPS),
    )
    mask: ImageHash | None = Field(
        None,
        title="Mask of effect",
        description="Where it acts: white is followed, black is not, grey in part. Empty: everywhere.",
        json_schema_extra=extra(widget="mask", wide=True, advanced=True),
    )
    resize: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        title="Resize",
        description="How a control image of another shape is brought to width and height.",
        json_schema_extra=extra(
            choices=(("crop", "Crop to fit"), ("pad", "Pad to fit"), ("stretch", "Stretch")), advanced=True
        ),
    )

    start: Start = 0.0
    end: End = 1.0

    def images(self) -> dict[str, str]:
        """Without the source, which is a record alone."""
        return {name: digest for name, digest in super().images().items() if name != "source"}

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> Self:
        check_range(self)
        return self

    def prepared(self, request: "GenerationRequest", annotate: Annotate) -> Self:
        """With the control image made, where a picture and an annotator were given."""
        if self.annotator == NONE or self.source:
            return self
        size: dict[str, Any] = {"width": request.width, "height": request.height}
        asked = Annotation(annotator=self.annotator, resize=self.resize, **size)
        return self.model_copy(update={"image": annotate(self.image, asked), "source": self.image})
