"""Noise schedules: x_t = alpha(t) x0 + sigma(t) eps, for t drawn from a uniform variate.

Independent of what the denoiser predicts (`objectives`) and of how it is built.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from studio.core.registry import Registry

STEPS = 1000  # training times of the discrete schedules, and the flow's time unit


class Schedule(Protocol):
    def times(self, u: Tensor) -> Tensor:
        """Uniform variates [n] in [0, 1) -> times [n], as the denoiser reads them."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Times [n] -> signal and noise scales [n]."""

    def at(self, place: Tensor) -> Tensor:
        """Places [n] on the way from data, 0, to noise, 1, to times [n]: those of even steps, as samplers take them."""

    def boundary(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """c_skip and c_out [n] of a consistency function c_skip x + c_out x0: 1 and 0 at t = 0, unless x0 is x there."""

    def scheduler(self, prediction: str) -> Any:
        """The stock diffusers scheduler that samples what was trained on this schedule."""


schedules: Registry[Callable[..., Schedule]] = Registry("noise schedule")


class Discrete:
    """Variance preserving, with the 1,000 integer times of DDPM (Ho et al. 2020)."""

    def __init__(self, betas: Tensor, zero_terminal_snr: float = 0, **stock: Any):
        """`stock` is what a diffusers scheduler is made with for these betas."""
        self.stock = stock
        alpha_bar = torch.cumprod(1 - betas.double(), dim=0)
        if zero_terminal_snr:
            alpha_bar = with_zero_terminal_snr(alpha_bar)
            self.stock = stock | {"rescale_betas_zero_snr": True}
        self.alphas = alpha_bar.sqrt().float()
        self.sigmas = (1 - alpha_bar).sqrt().float()

    def times(self, u: Tensor) -> Tensor:
        return (u * STEPS).long().clamp(0, STEPS - 1)

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.alphas.to(t.device)[t], self.sigmas.to(t.device)[t]

    def at(self, place: Tensor) -> Tensor:
        """The trailing spacing of diffusers (Lin et al. 2024, section 3.4)."""
        return (STEPS * place).round().long().sub(1).clamp(0, STEPS - 1)

    def boundary(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """LCMScheduler's: Song et al. 2023, appendix C, with sigma_data = 0.5 and times ten times as long."""
        scaled = 10.0 * t
        return 0.25 / (scaled**2 + 0.25), scaled / (scaled**2 + 0.25).sqrt()

    def scheduler(self, prediction: str) -> Any:
        from diffusers import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler(
            num_train_timesteps=STEPS,
            prediction_type=prediction,
            timestep_spacing="trailing",
            steps_offset=1,
            **self.stock,
        )


def with_zero_terminal_snr(alpha_bar: Tensor) -> Tensor:
    """Square roots shifted so that the last is 0, scaled so that the first is as before (Lin et al. 2024, algorithm 1)."""
    roots = alpha_bar.sqrt()
    return ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])).square()


def betas_of(alpha_bar: Callable[[Tensor], Tensor]) -> Tensor:
    """The betas of a continuous alpha_bar(t), t in [0, 1], none above 0.999 (Nichol & Dhariwal 2021, section 3.2)."""
    values = alpha_bar(torch.arange(STEPS + 1, dtype=torch.float64) / STEPS)
    return (1 - values[1:] / values[:-1]).clamp(max=0.999)


@schedules.register("linear")
def linear(beta_start: float = 1e-4, beta_end: float = 0.02, zero_terminal_snr: float = 0) -> Schedule:
    betas = torch.linspace(beta_start, beta_end, STEPS)
    return Discrete(betas, zero_terminal_snr, beta_schedule="linear", beta_start=beta_start, beta_end=beta_end)


@schedules.register("scaled_linear")
def scaled_linear(beta_start: float = 0.00085, beta_end: float = 0.012, zero_terminal_snr: float = 0) -> Schedule:
    """Stable Diffusion's: the square roots of the betas are linear."""
    roots = torch.linspace(beta_start**0.5, beta_end**0.5, STEPS, dtype=torch.float64)
    ends = {"beta_start": beta_start, "beta_end": beta_end}
    return Discrete(roots.square(), zero_terminal_snr, beta_schedule="scaled_linear", **ends)


@schedules.register("cosine")
def cosine(zero_terminal_snr: float = 0) -> Schedule:
    """Nichol & Dhariwal 2021, equation 17, with their offset of 0.008."""
    betas = betas_of(lambda t: ((t + 0.008) / 1.008 * torch.pi / 2).cos().square())
    return Discrete(betas, zero_terminal_snr, beta_schedule="squaredcos_cap_v2")


@schedules.register("sigmoid")
def sigmoid(start: float = -3, end: float = 3, tau: float = 1, zero_terminal_snr: float = 0) -> Schedule:
    """Jabri et al. 2022, algorithm 2: favours neither end; a larger `tau` is closer to a straight line."""
    first, last = (torch.tensor(each / tau, dtype=torch.float64).sigmoid() for each in (start, end))
    betas = betas_of(lambda t: (last - ((t * (end - start) + start) / tau).sigmoid()) / (last - first))
    return Discrete(betas, zero_terminal_snr, trained_betas=betas.tolist())


@schedules.register("flow")
class Flow:
    """The straight path of rectified flow: alpha = 1 - t, sigma = t (Liu et al. 2022); times in thousandths."""

    def __init__(self, shift: float = 1.0):
        self.shift = shift

    def times(self, u: Tensor) -> Tensor:
        return self.at((1 - u).clamp(1e-4, 1))  # (0, 1]

    def at(self, place: Tensor) -> Tensor:
        return STEPS * self.shift * place / (1 + (self.shift - 1) * place)

    def boundary(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """x0 = x - t v is x itself at t = 0."""
        return torch.zeros_like(t), torch.ones_like(t)

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t / STEPS, t / STEPS

    def scheduler(self, prediction: str) -> Any:
        from diffusers import FlowMatchEulerDiscreteScheduler

        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=STEPS, shift=self.shift)


@schedules.register("flow_logit_normal")
class FlowLogitNormal(Flow):
    """The same path with logit-normal times (Esser et al. 2024, section 3.1), which favour the middle.

    A share of the times stays uniform, for the ends, which a logit-normal density starves.
    """

    def __init__(self, shift: float = 1.0, mean: float = 0.0, deviation: float = 1.0, uniform: float = 0.1):
        super().__init__(shift)
        self.mean, self.deviation, self.uniform = mean, deviation, uniform

    def times(self, u: Tensor) -> Tensor:
        normal = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
        count = torch.arange(1, len(u) + 1, device=u.device)
        stays = (count * self.uniform).floor() > ((count - 1) * self.uniform).floor()  # evenly over the batch
        return super().times(1 - torch.where(stays, u, (self.mean + self.deviation * normal).sigmoid()))
