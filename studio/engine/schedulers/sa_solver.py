"""SA-Solver that ends at the clean picture."""

from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from diffusers import SASolverScheduler as Upstream

from studio.engine.schedulers.gridded import take_timesteps
from studio.engine.schedulers.grids import Grid


class SASolverScheduler(Upstream):
    """As with DEIS, diffusers ends a grid at its lowest level twice over; on a named spacing the last step goes to zero.

    For the data prediction, the only one that the sampler table uses.
    """

    on_grid = False

    def lay_out(self, grid: Grid) -> None:
        take_timesteps(self, grid)
        self.sigmas[-1] = 0
        self.on_grid = True

    def add_noise(self, original_samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """diffusers looks the level up by its timestep, which has to be a whole one; on a grid, by its place."""
        add: Any = DPMSolverMultistepScheduler if self.on_grid else Upstream
        noised: torch.Tensor = add.add_noise(self, original_samples, noise, timesteps)
        return noised

    def stochastic_adams_bashforth_update(self, model_output: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.sigmas[self.step_index + 1] == 0:
            return model_output
        return super().stochastic_adams_bashforth_update(model_output, *args, **kwargs)
