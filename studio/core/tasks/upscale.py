"""A larger picture from the one that the stage before made (Ho et al. 2021). A stage's task, never a person's."""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import Integer
from studio.core.tasks.base import TaskBase


class Upscale(TaskBase):
    kind: Literal["upscale"] = "upscale"
    title: ClassVar[str] = "Upscale"
    help: ClassVar[str] = "Enlarge the picture of the stage before."
    offered: ClassVar[bool] = False

    noise_level: Integer = Field(
        0, ge=0, le=999, title="Noise level", description="How much noise is put on the picture before it is enlarged."
    )
