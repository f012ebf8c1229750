"""PNDM that may begin midway."""

from typing import Any

from diffusers import PNDMScheduler as Upstream
from diffusers.schedulers.scheduling_utils import SchedulerOutput

from studio.core.errors import InvalidRequest
from studio.engine.schedulers.beginning import begins_at


class PNDMScheduler(Upstream):
    """diffusers takes a run's second call for a repetition of its first step, as the whole grid has it. In a run that begins
    midway that call is the second step, and each one after it would come a step late: noise stays (diffusers 0.42.1)."""

    counter: int  # of calls
    begin_index: int | None = None
    _first: float | None = None  # timestep of the first call of a run that began midway

    def set_begin_index(self, begin_index: int = 0) -> None:
        self.begin_index = begin_index

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        self.begin_index = self._first = None

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
        return super().step(model_output, timestep, sample, return_dict)
