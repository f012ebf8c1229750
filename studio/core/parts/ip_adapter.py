"""An IP-Adapter (Ye et al. 2023): a picture whose style, composition or both the result takes over."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from studio.core.fields import ImageHash, Name, Number, extra
from studio.core.parts.base import PartBase
from studio.core.parts.step_range import End, Start, check_range

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


class IPAdapter(PartBase):
    kind: Literal["ip_adapter"] = "ip_adapter"
    title: ClassVar[str] = "Reference"
    plural: ClassVar[str] = "References"
    help: ClassVar[str] = "Have the picture take its style, its composition or both from another one (IP-Adapter)."
    many: ClassVar[bool] = True
    flag: ClassVar[str] = "reference"
    model_kind: ClassVar[str] = "ip_adapter"

    image: ImageHash = Field(
        title="Reference picture",
        description="The picture to take after. The image encoder sees the square in its middle.",
        json_schema_extra=extra(widget="image", wide=True),
    )
    model: Name = Field(
        "",
        title="IP-Adapter",
        description="The IP-Adapter's file. Empty: the only one here that fits the model.",
        json_schema_extra=extra(widget="model", model_kind="ip_adapter"),
    )
    mode: Literal["all", "style", "composition"] = Field(
        "all",
        title="Takes over",
        description="Which layers see the reference: all of them, or only those for style or for composition (InstantStyle).",
        json_schema_extra=extra(
            choices=(("all", "Style and composition"), ("style", "Style only"), ("composition", "Composition only"))
        ),
    )
    weight: Number = Field(
        0.6,
        ge=0.0,
        le=2.0,
        title="Weight",
        description="How much of the reference is added to the prompt. 0 is nothing.",
        json_schema_extra=extra(soft=(0, 1.5, 0.05)),
    )
    start: Start = 0.0
    end: End = 1.0
    mask: ImageHash | None = Field(
        None,
        title="Mask of effect",
        description="Where in the result it acts: white is affected, black is not, grey in part. Empty: everywhere.",
        json_schema_extra=extra(widget="mask", wide=True, advanced=True),
    )

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> "IPAdapter":
        check_range(self)
        return self
