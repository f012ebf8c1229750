"""Image to image: the picture, at the run's size, under as much noise as the strength says.

Pipelines that have the task take the picture; any other text-to-image pipeline begins midway (`engine/midway.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from studio.core.tasks import ImageToImage
from studio.engine import midway
from studio.engine.effects import TASK_EFFECTS, Context, Effect
from studio.engine.resize import resize


def arguments(task: ImageToImage, context: Context) -> dict[str, Any]:
    picture = resize(context.read_image(task.image).convert("RGB"), context.size, task.resize)
    if context.takes("strength"):
        return {"image": picture, "strength": task.strength}
    return {"latents": midway.noised(picture, context)}


@contextmanager
def around(task: ImageToImage, context: Context) -> Iterator[None]:
    if context.takes("strength"):
        yield
    else:
        with midway.beginning(context):
            yield


TASK_EFFECTS.add("image_to_image", Effect(arguments, around))
