"""DPM adaptive, which diffusers lacks."""

import math
from collections.abc import Iterator
from typing import Any

import torch

from studio.core.errors import InvalidRequest
from studio.engine.schedulers.ancestral import EulerAncestralDiscreteScheduler
from studio.engine.schedulers.explicit import dpm_solver_update, predicted_x0, result
from studio.engine.schedulers.gridded import training_of
from studio.engine.schedulers.grids import Grid, linspace

RELATIVE, ABSOLUTE = 0.05, 0.0078  # tolerated error of a step; these and the next are k-diffusion's
FIRST = 0.05  # length of the first try, in log sigma
SAFETY = 0.81  # a step is kept if the next may be at least so many times as long
TRIES = 20  # at one step; then it is kept as it is
ORDER = 3


class Ongoing(torch.Tensor):
    """Timesteps that are known only as the run goes on: iterating over them asks the scheduler for each.

    As a tensor they are the grid in which an image-to-image run looks for its beginning. What is computed from them is
    a plain tensor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl
    scheduler: Any
    begin = 0  # the place in the grid where the run begins

    @classmethod
    def of(cls, timesteps: torch.Tensor, scheduler: Any) -> "Ongoing":
        made = timesteps.as_subclass(cls)
        made.scheduler = scheduler
        return made

    def beginning_at(self, place: int) -> "Ongoing":
        """The whole grid, and a run that begins there."""
        self.begin = place
        return self

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return Ongoing.of(part, self.scheduler) if isinstance(key, slice) and key.stop is None else part

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield self[self.begin]
        while not self.scheduler.done:
            yield self.scheduler.next_timestep


class DPMSolverAdaptiveScheduler(EulerAncestralDiscreteScheduler):
    """DPM-Solver-23 with a step length that follows the error (Lu et al. 2022, appendix C), as k-diffusion has it.

    The number of steps asked for is not that of the run, which makes as many as the picture needs; it only divides the
    grid in which image to image looks for its beginning. Ends at the model's lowest level, not at zero. One length
    serves all pictures of a batch, so each is to be made alone.
    """

    step_ended = False  # whether the latest call ended a step
    done = False
    _steps = 0
    _start: torch.Tensor  # the state where the step starts
    _lower: torch.Tensor  # and what the second-order solver made of it

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        self._training = training_of(self)
        timesteps = linspace(num_inference_steps, self._training)
        self.lay_out(Grid(self._training.sigmas(timesteps), timesteps))
        self.timesteps = Ongoing.of(self.timesteps, self)
        self.step_ended = self.done = False
        self._steps, self._tries, self._h = 0, 0, FIRST
        self._sigma = 0.0  # level where the step starts
        self._noises: list[torch.Tensor] = []  # predicted in this step

    @property
    def expected_steps(self) -> int:
        """Steps made, and those to come if all were as long as the next."""
        return self._steps + (0 if self.done else math.ceil(self._left() / self._h))

    @property
    def next_timestep(self) -> torch.Tensor:
        sigma = self.sigmas[self.step_index].double().numpy()
        return torch.tensor(float(self._training.timesteps(sigma)), dtype=torch.float32, device=self.timesteps.device)

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = True) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
        if abs(float(timestep) - float(self.next_timestep)) > 0.01:
            raise InvalidRequest(
                "This model's pipeline lays out its steps ahead, which DPM adaptive cannot do. Choose another sampler.",
                field="sampler",
            )
        here, sample = float(self.sigmas[self.step_index]), sample.float()
        if not self._noises:
            self._sigma, self._start = here, sample
            self._lower = sample if self._steps == 0 else self._lower
        self._noises.append((sample - predicted_x0(self, model_output.float(), sample, here)) / here)
        self.step_ended = False
        made, sigma = self._end_try() if len(self._noises) == ORDER else self._go_on()
        self._step_index += 1
        self.sigmas = torch.cat([self.sigmas[: self._step_index], torch.tensor([sigma])])
        return result(made, model_output, return_dict)

    def _left(self) -> float:
        return math.log(self._sigma / self._training.lowest)

    def _go_on(self) -> tuple[torch.Tensor, float]:
        """State and level of the next call of this step."""
        calls = len(self._noises)
        to = self._sigma * math.exp(-min(self._h, self._left()) * calls / ORDER)
        at = (calls - 1) / calls
        return dpm_solver_update(self._start, self._noises, at, self._sigma, to, third=True), to

    def _end_try(self) -> tuple[torch.Tensor, float]:
        """The step's end where its error is small; else it is begun again, shorter."""
        to = self._sigma * math.exp(-min(self._h, self._left()))
        lower = dpm_solver_update(self._start, self._noises[:2], 1 / 3, self._sigma, to, third=False)
        higher = dpm_solver_update(self._start, self._noises, 2 / 3, self._sigma, to, third=True)
        allowed = (RELATIVE * torch.maximum(lower.abs(), self._lower.abs())).clamp(min=ABSOLUTE)
        error = float(((lower - higher) / allowed).square().mean().sqrt())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / ORDER) - 1)
        self._tries += 1
        if factor < SAFETY and self._tries < TRIES:
            self._h *= factor
            del self._noises[1:]
            return self._go_on()
        self._lower, self._sigma, self._noises, self._tries = lower, to, [], 0
        self._h *= factor if math.isfinite(factor) else 1
        self._steps += 1
        self.step_ended, self.done = True, self._left() <= 1e-5
        return higher, to
