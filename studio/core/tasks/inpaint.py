"""Part of a picture made anew: where the mask is white (Rombach et al. 2022 for models that see the mask)."""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import ImageHash, extra
from studio.core.tasks.image_to_image import ImageToImage


class Inpaint(ImageToImage):
    kind: Literal["inpaint"] = "inpaint"  # type: ignore[assignment]
    title: ClassVar[str] = "Inpaint"
    help: ClassVar[str] = "Make part of a picture anew, and leave the rest."

    mask: ImageHash = Field(
        title="Mask",
        description="White is made anew, black is kept. A mask of another size is resized as the picture is.",
        json_schema_extra=extra(widget="mask", wide=True, infotext="Mask hash"),
    )
