"""The tasks. A new one is a file here, a line below, a file in `engine/tasks` and, in the families that can, a `Call`."""

from typing import Annotated

from pydantic import Field

from studio.core.tasks.base import TaskBase
from studio.core.tasks.image_to_image import ImageToImage
from studio.core.tasks.inpaint import Inpaint
from studio.core.tasks.text_to_image import TextToImage
from studio.core.tasks.upscale import Upscale

KINDS: tuple[type[TaskBase], ...] = (TextToImage, ImageToImage, Inpaint, Upscale)
Task = Annotated[TextToImage | ImageToImage | Inpaint | Upscale, Field(discriminator="kind")]

TASKS: dict[str, type[TaskBase]] = {str(kind.model_fields["kind"].default): kind for kind in KINDS}

__all__ = ["KINDS", "TASKS", "ImageToImage", "Inpaint", "Task", "TaskBase", "TextToImage", "Upscale"]
