"""Part of a picture made anew, or more of it around its edges: where the mask is white the model may change it.

The fields say what may change (mask, grow, feather), what the model sees of the picture (context, padding, box) and what
it starts from there (content). How a model carries it out is in `engine/tasks/inpaint.py`.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from studio.core.errors import InvalidRequest
from studio.core.fields import ImageHash, Integer, Number, extra
from studio.core.intents import INTENTS, settings_of
from studio.core.pictures import MAX_PIXELS, as_mask
from studio.core.regions import Box, Sides
from studio.core.tasks.base import ReadImage
from studio.core.tasks.image_to_image import ImageToImage

if TYPE_CHECKING:
    from studio.core.models import ModelInfo

CONTEXT = (("whole", "Whole picture"), ("mask", "Around the mask"), ("box", "Box"))
CONTENT = (("original", "Original"), ("fill", "Fill from around"), ("noise", "Noise"), ("neutral", "Neutral grey"))
MOST_PIXELS = 2048  # of an extension, on one side


def _side(name: str, **more: Any) -> Any:
    return Field(
        0,
        ge=0,
        le=MOST_PIXELS,
        title=f"Extend {name}",
        description=f"Pixels that are added at the {name} of the picture and painted by the model.",
        json_schema_extra=extra(soft=(0, 512, 8), infotext=f"Extend {name}", only=("intent", "extend")),
        **more,
    )


class Inpaint(ImageToImage):
    kind: Literal["inpaint"] = "inpaint"  # type: ignore[assignment]
    title: ClassVar[str] = "Inpaint"
    help: ClassVar[str] = "Make part of a picture anew, and leave the rest exactly as it is."

    intent: Literal["fill", "add", "remove", "background", "extend"] = Field(
        "fill",
        title="Intent",
        description="What it is for. It sets masked content, context, padding and strength as they suit the model; each can be "
        "changed afterwards.",
        json_schema_extra=extra(
            widget="intent",
            wide=True,
            choices=tuple((name, each.title) for name, each in INTENTS.items()),
            infotext="Inpaint intent",
        ),
    )
    extend_top: Integer = _side("top")
    extend_right: Integer = _side("right")
    extend_bottom: Integer = _side("bottom")
    extend_left: Integer = _side("left", validate_default=True)
    mask: ImageHash | None = Field(
        None,
        validate_default=True,
        title="Mask",
        description="White is made anew, black is kept, grey is changed less. A mask of another size is stretched to the "
        "picture's. Not needed to extend a picture.",
        json_schema_extra=extra(widget="mask", wide=True, infotext="Mask hash"),
    )
    strength: Number = Field(
        0.75,
        ge=0.01,
        le=1.0,
        title="Strength",
        description="How much of what is in the mask changes: 1 starts from noise alone. The intent sets it as it suits the model.",
        json_schema_extra=extra(soft=(0.05, 1, 0.05), infotext="Denoising strength"),
    )
    mask_grow: Integer = Field(
        8,
        ge=0,
        le=512,
        title="Grow",
        description="Pixels by which the model may change more than the mask. Of these, what lies next to the mask is blended "
        "into the picture, so that no edge shows.",
        json_schema_extra=extra(soft=(0, 64, 1), advanced=True, infotext="Mask grow"),
    )
    mask_feather: Integer = Field(
        0,
        ge=0,
        le=512,
        title="Feather",
        description="Pixels over which the mask becomes grey at its edge, so that the change fades out (Differential Diffusion).",
        json_schema_extra=extra(soft=(0, 64, 1), advanced=True, infotext="Mask blur"),
    )
    context: Literal["whole", "mask", "box"] = Field(
        "whole",
        title="Context",
        description="What the model sees, at its own size: all of the picture, the mask with padding, or a box of your own. A "
        "small part gets the model's full resolution.",
        json_schema_extra=extra(choices=CONTEXT, advanced=True, infotext="Inpaint area"),
    )
    padding: Integer = Field(
        32,
        ge=0,
        le=2048,
        title="Padding",
        description="Pixels around the mask that the model sees, where the context is the mask.",
        json_schema_extra=extra(soft=(0, 256, 8), advanced=True, infotext="Masked area padding"),
    )
    box: str = Field(
        "",
        validate_default=True,
        max_length=60,
        title="Box",
        description="What the model sees where the context is a box: left,top,width,height in pixels.",
        json_schema_extra=extra(
            widget="box", wide=True, advanced=True, only=("context", "box"), infotext="Inpaint box"
        ),
    )
    content: Literal["original", "fill", "noise", "neutral"] = Field(
        "original",
        title="Masked content",
        description="What the model starts from inside the mask. At a strength of 1 it starts from noise alone.",
        json_schema_extra=extra(choices=CONTENT, advanced=True, infotext="Masked content"),
    )
    blend: bool = Field(
        True,
        title="Keep the rest exactly",
        description="Put only what is in the mask into the picture, at its full size. Off: the model's own picture, whole.",
        json_schema_extra=extra(advanced=True, infotext="Mask blend"),
    )

    @field_validator("extend_left")
    @classmethod
    def _extends_somewhere(cls, left: int, info: ValidationInfo) -> int:
        if info.data.get("intent") == "extend" and not (left or _extended(info)):
            raise ValueError("or another side must say by how many pixels the picture is extended")
        return left

    @field_validator("mask")
    @classmethod
    def _mask_unless_extended(cls, mask: str | None, info: ValidationInfo) -> str | None:
        if mask is None and not _extended(info):
            raise PydanticCustomError("missing", "Field required")
        return mask

    @field_validator("box")
    @classmethod
    def _four_numbers(cls, text: str, info: ValidationInfo) -> str:
        if not text.strip():
            if info.data.get("context") == "box":
                raise ValueError("is missing: draw it, or give left,top,width,height in pixels")
            return ""
        return str(Box.parse(text))

    def check(self, read_image: ReadImage) -> None:
        canvas = self.sides.around(read_image(self.image).size) if any(self.sides) else None
        if canvas and canvas[0] * canvas[1] > MAX_PIXELS:
            sentence = f"The extended picture would have more than {MAX_PIXELS // 1_000_000} million pixels, the most that is accepted."
            raise InvalidRequest(sentence, field="extend_left")
        white = as_mask(read_image(self.mask)).getbbox() if self.mask else None
        if self.mask and white is None and not any(self.sides):
            raise InvalidRequest(
                "The mask is all black, so nothing would change: paint white what is to be made anew.", field="mask"
            )

    @property
    def sides(self) -> Sides:
        """Pixels by which the picture is extended."""
        return Sides(self.extend_left, self.extend_top, self.extend_right, self.extend_bottom)

    def prompt_help(self, model: "ModelInfo") -> str:
        return settings_of(self.intent, model).prompt_help

    def resolved(self, model: "ModelInfo") -> "Inpaint":
        """With the intent's settings for the model in place of what was not given."""
        settings = settings_of(self.intent, model).values()
        return self.model_copy(update={n: value for n, value in settings.items() if n not in self.model_fields_set})


def _extended(info: ValidationInfo) -> int:
    return sum(info.data.get(name, 0) for name in ("extend_left", "extend_top", "extend_right", "extend_bottom"))
