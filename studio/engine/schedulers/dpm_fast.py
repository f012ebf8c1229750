"""DPM fast, which diffusers lacks."""

import math
from typing import Any

import numpy as np
import torch

from studio.engine.schedulers.ancestral import EulerAncestralDiscreteScheduler
from studio.engine.schedulers.explicit import dpm_solver_update, predicted_x0, result
from studio.engine.schedulers.gridded import training_of
from studio.engine.schedulers.grids import linspace


def orders_of(calls: int) -> list[int]:
    """Orders of the solver's steps that make so many model calls together (Lu et al. 2022, section 3.4)."""
    thirds, rest = divmod(calls, 3)
    return [3] * (thirds - 1) + [2, 1] if rest == 0 else [3] * thirds + [rest]


class DPMSolverFastScheduler(EulerAncestralDiscreteScheduler):
    """DPM-Solver-fast (Lu et al. 2022), as k-diffusion has it: steps of third order, even in log sigma, and shorter last ones.

    Each model call is a step to those who watch: the state comes nearer to the picture with each. Ends at the model's
    lowest level, not at zero.
    """

    _places: list[tuple[int, int]]  # for each call: (order of its step, its number within the step)
    _behind: list[torch.Tensor]  # of the step under way: its starting state, then the noise that each call predicted

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        training = training_of(self)
        self._evenly = training.sigmas(linspace(num_inference_steps, training))  # where strengths are looked up
        self._behind, self._places = [], []
        self._plan(0, training.highest)

    def set_begin_index(self, begin_index: int = 0) -> None:
        """What a run has left out is counted in timesteps, as with other solvers; the calls that remain are laid out anew."""
        super().set_begin_index(begin_index)
        if begin_index and self.step_index is None:
            self._plan(begin_index, float(self._evenly[begin_index]))

    def _plan(self, begin: int, highest: float) -> None:
        """Lay out the calls from place `begin` on, in the tensors that there are: pipelines hold slices of them."""
        training, orders = training_of(self), orders_of(len(self.timesteps) - begin)
        ends = np.linspace(math.log(highest), math.log(training.lowest), len(orders) + 1)
        sigmas = np.exp(
            [
                start + (end - start) * number / order
                for order, start, end in zip(orders, ends[:-1], ends[1:], strict=True)
                for number in range(order)
            ]
        )
        self.timesteps[begin:] = torch.from_numpy(training.timesteps(sigmas))
        self.sigmas[begin:] = torch.tensor([*sigmas, training.lowest])
        self._places[begin:] = [(order, number) for order in orders for number in range(order)]

    def step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, return_dict: bool = True) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
        place, sigmas = self.step_index, self.sigmas.double().tolist()
        order, number = self._places[place]
        if number and len(self._behind) <= number:  # the run began within this step: the rest of it in small ones
            order, number = 1, 0
        if number == 0:
            self._behind = [sample.float()]
        x0 = predicted_x0(self, model_output.float(), sample.float(), sigmas[place])
        self._behind.append((sample.float() - x0) / sigmas[place])
        start, *noises = self._behind
        at = number / (number + 1)
        made = dpm_solver_update(start, noises, at, sigmas[place - number], sigmas[place + 1], third=order == 3)
        self._step_index += 1
        return result(made, model_output, return_dict)
