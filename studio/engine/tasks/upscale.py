"""Upscale: the picture that the stage before made, under a little noise, made larger (Ho et al. 2021)."""

from typing import Any

from studio.core.tasks import Upscale
from studio.engine.effects import TASK_EFFECTS, Context, Effect


def arguments(task: Upscale, context: Context) -> dict[str, Any]:
    enlarging = context.loaded.family.enlarging
    assert enlarging is not None  # only families that enlarge have a call for this task
    return enlarging.takes(context.handed) | {"noise_level": task.noise_level}


TASK_EFFECTS.add("upscale", Effect(arguments))
