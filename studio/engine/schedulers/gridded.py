"""Gives a diffusers scheduler the noise levels of a named spacing, in whatever form its class keeps them.

Most classes ask their own `_convert_to_karras` for the levels and lay out from them what else they need; that is where a
grid goes in. What they round afterwards is put back: a model is shown the timestep of the level that its state has.
Others say in a method `lay_out(grid)` how they take it. The spacing "default" is the class's own and never comes here.
"""

import functools
from typing import Any

import numpy as np
import torch

from studio.engine.schedulers.beginning import Beginning
from studio.engine.schedulers.grids import Grid, Training, diffusion_grid, flow_sigmas, whole

# What a class with `_convert_to_karras` is configured with, so that it takes the grid as it is and ends at zero.
TAKES_GRID = {
    "use_karras_sigmas": True,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
    "interpolation_type": "linear",
    "final_sigmas_type": "zero",
}


class Gridded:
    """Mixed into a scheduler class; does nothing while `spacing` is None."""

    spacing: str | None = None
    rounded = False  # whether the pipeline needs whole timesteps, on a named spacing too
    unrounded = False  # whether a flow model is to be shown timesteps that its class would cut to whole numbers
    family: str | None = None
    laid: Grid | None = None  # what the class asked for
    mu: float | None = None  # how far a flow pipeline has the levels shifted

    def _convert_to_karras(self: Any, in_sigmas: Any, num_inference_steps: int | None = None) -> Any:
        if self.spacing is None:
            given = () if num_inference_steps is None else (num_inference_steps,)
            return super()._convert_to_karras(in_sigmas, *given)  # type: ignore[misc]
        self.laid = grid_of(self, num_inference_steps or self.num_inference_steps)
        return self.laid.sigmas


@functools.cache
def adapted(scheduler_class: Any) -> Any:
    """A subclass of the same name with what is ours mixed in: pipelines look at schedulers' classes and signatures."""

    @functools.wraps(scheduler_class.set_timesteps)
    def set_timesteps(self: Any, num_inference_steps: int | None = None, device: Any = None, **rest: Any) -> None:
        self.mu = rest.get("mu")
        scheduler_class.set_timesteps(self, num_inference_steps, device=device, **rest)
        if self.spacing is not None:
            lay_out(self, self.laid or grid_of(self, self.num_inference_steps))
        elif self.unrounded:
            self.timesteps = (self.sigmas[:-1] * self.config.num_train_timesteps).to(self.timesteps.device)

    lay_out = getattr(scheduler_class, "lay_out", take_timesteps)
    own = {"set_timesteps": set_timesteps, "__module__": scheduler_class.__module__}
    if not hasattr(scheduler_class, "scale_model_input"):  # a pipeline may ask all but the very class that has none
        own["scale_model_input"] = lambda self, sample, *rest: sample
    looks_up = (Beginning,) if hasattr(scheduler_class, "index_for_timestep") else ()
    return type(scheduler_class.__name__, (Gridded, *looks_up, scheduler_class), own)


def take_timesteps(scheduler: Any, grid: Grid) -> None:
    """Put a grid's timesteps in the place of those that the class made; whole ones where levels are looked up by them."""
    device = scheduler.timesteps.device
    if scheduler.laid is None or scheduler.rounded:
        scheduler.timesteps = torch.from_numpy(whole(grid.timesteps)).to(device)
    elif hasattr(scheduler, "alphas_cumprod") and scheduler.config.get("timestep_type") != "continuous":
        # Else a timestep is computed from the level itself, a share or a logarithm.
        timesteps = scheduler.timesteps
        timesteps = timesteps.clone() if timesteps.is_floating_point() else timesteps.float()
        timesteps[:: scheduler.order] = torch.from_numpy(grid.timesteps).to(device, timesteps.dtype)
        scheduler.timesteps = timesteps


def grid_of(scheduler: Any, steps: int) -> Grid:
    if hasattr(scheduler, "alphas_cumprod"):
        return diffusion_grid(scheduler.spacing, steps, training_of(scheduler))
    trained = scheduler.config.num_train_timesteps
    sigmas = flow_sigmas(scheduler.spacing, steps, functools.partial(_shifted, scheduler), trained)
    return Grid(sigmas, sigmas * trained)


def training_of(scheduler: Any) -> Training:
    config = scheduler.config
    signal = scheduler.alphas_cumprod.cpu().clamp(min=1e-12)
    levels = (((1 - signal) / signal) ** 0.5).double().numpy()
    last = len(levels) - 1
    floor = config.get("lambda_min_clipped")  # a cosine schedule ends in levels too high to compute with
    if floor is not None:
        last -= int((-np.log(levels) < floor).sum())
    return Training(
        levels,
        last,
        lowest=config.get("sigma_min") or float(levels[0]),
        highest=config.get("sigma_max") or float(levels[last]),
        offset=config.get("steps_offset") or 0,
        family=scheduler.family,
    )


def _shifted(scheduler: Any, sigmas: np.ndarray) -> np.ndarray:
    if scheduler.config.use_dynamic_shifting:
        return scheduler.time_shift(scheduler.mu, 1.0, sigmas)
    return scheduler.shift * sigmas / (1 + (scheduler.shift - 1) * sigmas)
