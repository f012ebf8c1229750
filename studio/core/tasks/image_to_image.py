"""A picture from a picture (SDEdit, Meng et al. 2022): it is put under noise and denoised along the prompt."""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import ImageHash, Number, extra
from studio.core.tasks.base import TaskBase

RESIZE = (("crop", "Crop to fit"), ("pad", "Pad to fit"), ("stretch", "Stretch"))


class ImageToImage(TaskBase):
    kind: Literal["image_to_image"] = "image_to_image"
    title: ClassVar[str] = "Image to image"
    help: ClassVar[str] = "Start from a picture and change it along the prompt, a little or a lot."

    image: ImageHash = Field(
        title="Picture",
        description="The picture to start from.",
        json_schema_extra=extra(widget="image", wide=True, infotext="Init image hash"),
    )
    strength: Number = Field(
        0.6,
        ge=0.01,
        le=1.0,
        title="Strength",
        description="How much noise is put on the picture: 1 leaves nothing of it, and of 20 steps at 0.4 only 8 run.",
        json_schema_extra=extra(soft=(0.05, 1, 0.05), infotext="Denoising strength"),
    )
    resize: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        title="Resize",
        description="How a picture of another shape is brought to width and height.",
        json_schema_extra=extra(choices=RESIZE, infotext="Resize mode"),
    )

    def steps_run(self, steps: int, partial: str) -> int:
        """As diffusers' `get_timesteps` counts: SD and SDXL round strength * steps down, SD 3 and FLUX up."""
        exact = min(steps * self.strength, steps)
        return int(exact) if partial == "floor" else steps - int(max(steps - exact, 0))
