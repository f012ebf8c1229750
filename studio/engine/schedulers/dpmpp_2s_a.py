"""DPM++ 2S a, which diffusers lacks."""

from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from studio.engine.schedulers.ancestral import EulerAncestralDiscreteScheduler
from studio.engine.schedulers.explicit import predicted_x0, result
from studio.engine.schedulers.grids import Grid


class DPMSolver2SAncestralScheduler(EulerAncestralDiscreteScheduler):
    """DPM-Solver++(2S) (Lu et al. 2022, algorithm 1 with r = 1/2) with ancestral noise, as k-diffusion has it.

    A step goes down to the level s^2 / s0 and noise leads up from there to the next level s. The midpoint of that way, in
    log sigma, is s itself; so the second model call of a step is at the level where the step ends.
    """

    order = 2
    _start: tuple[float, torch.Tensor] | None = None  # level and state of a step whose second call is to come

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        self.lay_out(Grid(self.sigmas[:-1].double().numpy(), self.timesteps.double().cpu().numpy()))

    def lay_out(self, grid: Grid) -> None:
        super().lay_out(grid)
        self.sigmas = torch.cat([self.sigmas[:1], self.sigmas[1:-1].repeat_interleave(2), self.sigmas[-1:]])
        self.timesteps = torch.cat([self.timesteps[:1], self.timesteps[1:].repeat_interleave(2)])
        self._start = None

    def step(
        self,
        model_output: torch.Tensor,
        timestep: Any,
        sample: torch.Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any:
        if self.step_index is None:
            self._init_step_index(timestep)
        here = float(self.sigmas[self.step_index])
        x0 = predicted_x0(self, model_output.float(), sample.float(), here)
        if self._start is None:
            after = float(self.sigmas[self.step_index + 1])
            made = after / here * sample.float() + (1 - after / here) * x0
            self._start = (here, sample.float()) if after > 0 else None
        else:
            sigma, start = self._start
            down = here**2 / sigma
            noise = randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=torch.float32)
            made = down / sigma * start + (1 - down / sigma) * x0 + (here**2 - down**2) ** 0.5 * noise
            self._start = None
        self._step_index += 1
        return result(made, model_output, return_dict)
