"""Inpaint: the picture and its mask, at the run's size. White is made anew."""

from typing import Any

from studio.core.tasks import Inpaint
from studio.engine.effects import TASK_EFFECTS, Context, Effect
from studio.engine.resize import resize


def arguments(task: Inpaint, context: Context) -> dict[str, Any]:
    picture = context.read_image(task.image).convert("RGB")
    assert task.mask is not None
    mask = context.read_image(task.mask).convert("L").resize(picture.size)
    return {
        "image": resize(picture, context.size, task.resize),
        "mask_image": resize(mask, context.size, task.resize),
        "strength": task.strength,
    }


TASK_EFFECTS.add("inpaint", Effect(arguments))
