"""The tasks. A new one is a file here, a line below, a file in `engine/tasks` and, in the families that can, a `Call`."""

from typing import Annotated

from pydantic import Field

from studio.core.tasks.base import TaskBase
from studio.core.tasks.text_to_image import TextToImage
from studio.core.tasks.upscale import Upscale

KINDS: tuple[type[TaskBase], ...] = (TextToImage, Upscale)
Task = Annotated[TextToImage | Upscale, Field(discriminator="kind")]

TASKS: dict[str, type[TaskBase]] = {str(kind.model_fields["kind"].default): kind for kind in KINDS}

__all__ = ["KINDS", "TASKS", "Task", "TaskBase", "TextToImage", "Upscale"]
