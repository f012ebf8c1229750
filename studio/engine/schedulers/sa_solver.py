"""SA-Solver that ends at the clean picture."""

from typing import Any

import torch
from diffusers import SASolverScheduler as Upstream

from studio.engine.schedulers.gridded import take_timesteps
from studio.engine.schedulers.grids import Grid


class SASolverScheduler(Upstream):
    """As with DEIS, diffusers ends a grid at its lowest level twice over; on a named spacing the last step goes to zero.

    For the data prediction, the only one that the sampler table uses.
    """

    def lay_out(self, grid: Grid) -> None:
        take_timesteps(self, grid)
        self.sigmas[-1] = 0

    def stochastic_adams_bashforth_update(self, model_output: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.sigmas[self.step_index + 1] == 0:
            return model_output
        return super().stochastic_adams_bashforth_update(model_output, *args, **kwargs)
