"""What solvers of ours share that keep their state at the noise's scale, as k-diffusion does."""

import math
from typing import Any

import torch
from diffusers.schedulers.scheduling_utils import SchedulerOutput


def predicted_x0(scheduler: Any, output: torch.Tensor, sample: torch.Tensor, sigma: float) -> torch.Tensor:
    """The clean picture that the model's output means at this level."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return sample - sigma * output
    if kind == "v_prediction":
        return sample / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
    raise ValueError(f"{type(scheduler).__name__} cannot be fed {kind}")


def dpm_solver_update(
    start: torch.Tensor, noises: list[torch.Tensor], at: float, sigma: float, to: float, *, third: bool
) -> torch.Tensor:
    """DPM-Solver (Lu et al. 2022, algorithms 1 and 2): the state at level `to`, from that at `sigma` where a step starts.

    `noises` are those predicted at the step's start and at its later calls. `at` is where the last of these stood, as a
    share of the way to `to` in log sigma. `third`: in the form of the third-order solver.
    """
    h = math.log(sigma / to)
    made = start - to * math.expm1(h) * noises[0]
    if len(noises) > 1:
        change = (noises[-1] - noises[0]) / at
        made = made - to * (math.expm1(h) / h - 1 if third else math.expm1(h) / 2) * change
    return made


def result(prev_sample: torch.Tensor, like: torch.Tensor, return_dict: bool) -> Any:
    prev_sample = prev_sample.to(like.dtype)
    return SchedulerOutput(prev_sample=prev_sample) if return_dict else (prev_sample,)
