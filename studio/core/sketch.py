"""Live sketches: quick runs in few steps that are shown while a setting is being moved, and not kept.

Says what such a run is and how its job is known; knows neither the queue nor the page.
"""

import math

from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.samplers import good_from, least_steps

PREFIX = "sketch-"  # of the ids of their jobs
LEAST_STEPS = 4
SHARE = 4  # a sketch takes a quarter of the steps


def is_sketch(job: str) -> bool:
    return job.startswith(PREFIX)


def sketch_of(request: GenerationRequest, model: ModelInfo) -> GenerationRequest:
    """One image in a quarter of the steps, or as many as model, sampler and task need; `request` is resolved."""
    partial = model.capabilities.partial_steps
    wanted = min(LEAST_STEPS, request.task.steps_run(request.steps, partial))
    least = max(
        LEAST_STEPS,
        math.ceil(request.steps / SHARE),
        model.capabilities.fewest_steps,
        least_steps(request.sampler, model.capabilities.runge_kutta),
        good_from(request.sampler, request.spacing),
    )
    enough = (n for n in range(least, request.steps) if request.task.steps_run(n, partial) >= wanted)
    steps = next(enough, request.steps)
    return request.model_copy(update={"steps": steps, "count": 1, "batch_size": 1, "previews": True})
