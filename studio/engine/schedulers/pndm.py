"""PNDM that may begin midway, and whose steps go from one timestep of its grid to the next."""

from typing import Any

import numpy as np
import torch
from diffusers import PNDMScheduler as Upstream
from diffusers.schedulers.scheduling_utils import SchedulerOutput

from studio.core.errors import InvalidRequest
from studio.engine.schedulers.beginning import begins_at
from studio.engine.schedulers.ddim import stepping
from studio.engine.schedulers.grids import Grid, whole


class PNDMScheduler(Upstream):
    """Two corrections of diffusers 0.42.1.

    It takes a run's second call for a repetition of its first step, as the whole grid has it. In a run that begins midway
    that call is the second step, and each one after it would come a step late: noise stays. And as with DDIM, all its
    steps have one length, whatever the grid.
    """

    timesteps: torch.Tensor
    counter: int  # of calls
    begin_index: int | None = None
    _first: float | None = None  # timestep of the first call of a run that began midway
    _grid: list[int] | None = None  # falling, each once; None: diffusers' own

    def set_begin_index(self, begin_index: int = 0) -> None:
        self.begin_index = begin_index

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        self.begin_index = self._first = None

    def lay_out(self, grid: Grid) -> None:
        if self.config.skip_prk_steps:  # Runge-Kutta steps are laid out by their one length
            self._grid = whole(grid.timesteps).tolist()
            self.plms_timesteps = np.array([*self._grid[:2], *self._grid[1:]])
            self.timesteps = torch.from_numpy(self.plms_timesteps).to(self.timesteps.device)

    def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True) -> Any:
        if self.counter == 0 and begins_at(self, timestep) > 0:
            if not self.config.skip_prk_steps:
                raise InvalidRequest(
                    "PNDM begins with Runge-Kutta steps in this model's configuration and cannot begin midway. "
                    "Choose another sampler.",
                    field="sampler",
                )
            self._first = float(timestep)
        elif self.counter == 1 and self._first is not None:
            self.counter = 2
            if float(timestep) == self._first:  # the grid's repetition, of a step that was not improved upon
                return SchedulerOutput(prev_sample=sample) if return_dict else (sample,)
        if self._grid is None:
            return super().step(model_output, timestep, sample, return_dict)
        with stepping(self, self._gap(int(timestep))):
            return super().step(model_output, timestep, sample, return_dict)

    def _gap(self, timestep: int) -> int:
        """To the next timestep; for the repetition of the first step, from the one before."""
        assert self._grid is not None
        place = self._grid.index(timestep)
        if self.counter == 1:
            return self._grid[place - 1] - timestep
        return timestep - self._grid[place + 1] if place + 1 < len(self._grid) else timestep + 1
