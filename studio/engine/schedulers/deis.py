"""DEIS that ends at the clean picture."""

from typing import Any

from diffusers import DEISMultistepScheduler as Upstream
from diffusers.schedulers.scheduling_utils import SchedulerOutput

from studio.engine.schedulers.gridded import take_timesteps
from studio.engine.schedulers.grids import Grid


class DEISMultistepScheduler(Upstream):
    """diffusers ends DEIS at the lowest level of a grid twice over: one call does nothing, and that level's noise stays.

    On a named spacing the last step goes to zero, as with every other solver. (Its integrals are over the logarithm of
    the level and have no value there; the step is the predicted picture itself, which is what they tend to.)
    """

    def lay_out(self, grid: Grid) -> None:
        take_timesteps(self, grid)
        self.sigmas[-1] = 0

    def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
        if self.sigmas[self.step_index + 1] > 0:
            return super().step(model_output, timestep, sample, return_dict)
        alpha, sigma = self._sigma_to_alpha_sigma_t(self.sigmas[self.step_index])
        made = (sample - sigma * self.convert_model_output(model_output, sample=sample)) / alpha
        self._step_index += 1
        return SchedulerOutput(prev_sample=made) if return_dict else (made,)
