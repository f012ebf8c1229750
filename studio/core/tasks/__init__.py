"""The tasks. A new one is a file here, a line below, a file in `engine/tasks` and, in the families that can, a `Call`."""

from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import specs
from studio.core.tasks.base import TaskBase
from studio.core.tasks.image_to_image import ImageToImage
from studio.core.tasks.inpaint import Inpaint
from studio.core.tasks.text_to_image import TextToImage
from studio.core.tasks.upscale import Upscale

KINDS: tuple[type[TaskBase], ...] = (TextToImage, ImageToImage, Inpaint, Upscale)
Task = Annotated[TextToImage | ImageToImage | Inpaint | Upscale, Field(discriminator="kind")]


def task_with(names: Collection[str], shown: Callable[[str], str] = str) -> type[TaskBase]:
    """Of the tasks on offer that have all of these fields, the one with the fewest. Raises InvalidRequest; `shown` is how a
    field is written there."""
    fitting = [task for task in KINDS if task.offered and set(names) <= specs(task).keys()]
    if not fitting:
        raise InvalidRequest(f"No task takes all of {', '.join(shown(name) for name in names)}.")
    return min(fitting, key=lambda task: len(specs(task)))


TASKS: dict[str, type[TaskBase]] = {str(kind.model_fields["kind"].default): kind for kind in KINDS}

__all__ = ["KINDS", "TASKS", "ImageToImage", "Inpaint", "Task", "TaskBase", "TextToImage", "Upscale", "task_with"]
