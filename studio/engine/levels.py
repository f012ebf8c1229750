"""Where a scheduler's state stands: how much signal and noise it holds, and the clean picture that a prediction means.

x_t = alpha * x0 + sigma * noise in the scheduler's own convention. Four are in use: variance preserving (DDPM, DDIM,
DPM-Solver), variance exploding (k-diffusion: alpha is 1 and the model's input is scaled), flow (alpha = 1 - sigma) and
TrigFlow (alpha and sigma the cosine and sine of the timestep, Lu and Song 2024, data and noise of sigma_data's size).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

TRIGFLOW = "trigflow"


@dataclass(frozen=True)
class Level:
    """Signal and noise of one state; `flow` where predictions are velocities of a straight path."""

    alpha: float
    sigma: float
    flow: bool = False
    unit: float = 1.0  # what data of variance one, and noise, are multiplied by

    @property
    def ratio(self) -> float:
        """k-diffusion's sigma, noise over signal; for flow matching its own sigma, which ends at 1."""
        if self.flow:
            return self.sigma
        return self.sigma / self.alpha if self.alpha > 1e-8 else math.inf

    @property
    def input_scale(self) -> float:
        """What the state is multiplied by before the denoiser sees it, so that its variance is about the data's."""
        return 1.0 if self.flow else 1.0 / (self.unit * math.sqrt(self.alpha**2 + self.sigma**2))

    @property
    def alpha_bar(self) -> float:
        """The share of signal in the state's variance: DDPM's alpha bar, whatever the convention."""
        return self.alpha**2 / max(self.alpha**2 + self.sigma**2, 1e-30)


def level_of(scheduler: Any, timestep: Any) -> Level | None:
    """The level of the state that the scheduler's latest `step` call was given; None where it is no signal and noise."""
    index = getattr(scheduler, "step_index", None)
    return level_at(scheduler, timestep, None if index is None else index - 1)


def level_at(scheduler: Any, timestep: Any, index: int | None) -> Level | None:
    """The level of the state at a place in the scheduler's grid, of which `timestep` is the timestep."""
    if scheduler.config.get("prediction_type") == TRIGFLOW:
        angle = number(timestep)
        return Level(math.cos(angle), math.sin(angle), unit=scheduler.config.sigma_data)
    if index is not None and getattr(scheduler, "sigmas", None) is not None:
        sigma = float(scheduler.sigmas[index])
        if is_flow(scheduler):
            return Level(1.0 - sigma, sigma, flow=True)
        if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
            alpha = 1.0 / math.sqrt(1.0 + sigma * sigma)
            return Level(alpha, sigma * alpha)
        return Level(1.0, sigma)
    if not hasattr(scheduler, "alphas_cumprod"):
        return None
    last = len(scheduler.alphas_cumprod) - 1
    alpha_bar = float(scheduler.alphas_cumprod[min(max(int(number(timestep)), 0), last)])
    return Level(math.sqrt(alpha_bar), math.sqrt(1.0 - alpha_bar))


def number(timestep: Any) -> float:
    """A timestep as pipelines hand it over: a number, a tensor of one, or of one an image."""
    return float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else float(timestep)


def is_flow(scheduler: Any) -> bool:
    if hasattr(scheduler, "get_scalings_for_boundary_condition"):
        return False  # a consistency model: variance exploding
    if hasattr(scheduler, "precondition_outputs"):
        return False  # EDM: variance exploding as well
    return bool(scheduler.config.get("use_flow_sigmas")) or not hasattr(scheduler, "alphas_cumprod")


def predicted_x0(scheduler: Any, level: Level | None, output: torch.Tensor, x_t: torch.Tensor) -> torch.Tensor | None:
    """The clean picture that `output`, in the scheduler's prediction type, means at `x_t`; None where undefined.

    output may carry a learned variance in a second half of channels, which is left out. (n, c, ...) -> (n, c, ...)
    """
    if level is None:
        return None
    if output.ndim > 1 and output.shape[1] == 2 * x_t.shape[1]:
        output = output.chunk(2, dim=1)[0]
    x, out = x_t.float(), output.float()
    if hasattr(scheduler, "get_scalings_for_boundary_condition"):
        c_skip, c_out = scheduler.get_scalings_for_boundary_condition(level.sigma)
        return c_out * out + c_skip * x  # Song et al. 2023, equation 5
    if hasattr(scheduler, "precondition_outputs"):
        return scheduler.precondition_outputs(x, out, level.sigma)  # Karras et al. 2022, equation 7
    kind = "flow_prediction" if level.flow else scheduler.config.get("prediction_type", "epsilon")
    if kind == "sample":
        return out
    if kind == "flow_prediction":
        return x - level.sigma * out
    if kind == "v_prediction":
        c = level.input_scale
        return (level.alpha * c) * (c * x) - (level.sigma * c) * out
    if kind == "epsilon" and level.alpha > 0:
        return (x - level.sigma * out) / level.alpha
    return None
