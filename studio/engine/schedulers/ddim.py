"""DDIM whose steps go from one timestep of its grid to the next."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from diffusers import DDIMScheduler as Upstream

from studio.engine.schedulers.gridded import take_timesteps
from studio.engine.schedulers.grids import Grid


@contextmanager
def stepping(scheduler: Any, gap: int) -> Iterator[None]:
    """Have diffusers, which takes a step's length for `num_train_timesteps // num_inference_steps`, take `gap`."""
    steps = scheduler.num_inference_steps
    scheduler.num_inference_steps = Fraction(scheduler.config.num_train_timesteps, gap)
    try:
        yield
    finally:
        scheduler.num_inference_steps = steps


class DDIMScheduler(Upstream):
    """diffusers' steps all have one length, whatever the grid: on "linspace", and where the number of steps does not divide
    that of training timesteps, the model is then shown another level than the state has."""

    on_grid = False

    def lay_out(self, grid: Grid) -> None:
        take_timesteps(self, grid)
        self.on_grid = True

    @functools.wraps(Upstream.step)  # pipelines look at its signature to know what it takes
    def step(self, model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.on_grid:
            return super().step(model_output, timestep, sample, *args, **kwargs)
        below = [t for t in self.timesteps.tolist() if t < int(timestep)]
        with stepping(self, int(timestep) - (below[0] if below else -1)):
            return super().step(model_output, timestep, sample, *args, **kwargs)
