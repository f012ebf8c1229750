"""Image to image: the picture, at the run's size, under as much noise as the strength says.

Pipelines that have the task take the picture; any other text-to-image pipeline begins midway (`engine/midway.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL.Image import Image

from studio.core.pictures import opaque
from studio.core.tasks import ImageToImage
from studio.engine import midway
from studio.engine.effects import TASK_EFFECTS, Context, Effect
from studio.engine.resize import resize


def arguments(task: ImageToImage, context: Context) -> dict[str, Any]:
    return begun(task, resize(opaque(context.read_image(task.image)), context.size, task.resize), context)


def begun(task: ImageToImage, picture: Image, context: Context) -> dict[str, Any]:
    """What a call is given so that it begins from `picture`, which has the run's size."""
    if context.takes("strength"):
        return {"image": picture, "strength": task.strength}
    return {"latents": midway.noised(picture, context)}


@contextmanager
def began_from(task: ImageToImage, context: Context) -> Iterator[None]:
    """Held during such a call."""
    if context.takes("strength"):
        yield
    else:
        with midway.beginning(context):
            yield


TASK_EFFECTS.add("image_to_image", Effect(arguments, began_from))
