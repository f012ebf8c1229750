"""A denoiser on its noise schedule: steps along its ODE, the consistency function, sampling in few steps.

Works on x [n, ...] of any shape; independent of networks, of data, and of what is distilled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.training.objectives import Objective
from studio.training.schedules import Schedule

Conditions = Mapping[str, Tensor]  # of each of the n: a text, a class, a guidance scale


@dataclass(frozen=True)
class Denoiser:
    """`network(x_t, t, conditions)` predicts the objective's target at times t [n] of the schedule."""

    network: Callable[[Tensor, Tensor, Conditions], Tensor]
    objective: Objective
    schedule: Schedule

    def scales(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma, [n, 1, ...] as x has dimensions."""
        alpha, sigma = self.schedule.alpha_sigma(t)
        return alpha.float().view(-1, *(1,) * (x.ndim - 1)), sigma.float().view(-1, *(1,) * (x.ndim - 1))

    def noised(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.scales(t, x0)
        return alpha * x0 + sigma * eps

    def x0(self, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        return self.objective.to_x0(self.network(x, t, given).float(), x, *self.scales(t, x))

    def step(self, x: Tensor, t: Tensor, s: Tensor, given: Conditions) -> Tensor:
        """One DDIM step (Song et al. 2021) of the probability flow ODE from t to s; on the straight path, Euler's."""
        (alpha, sigma), (alpha_s, sigma_s) = self.scales(t, x), self.scales(s, x)
        x0 = self.x0(x, t, given)
        return alpha_s * x0 + sigma_s / sigma * (x - alpha * x0)

    def consistency(self, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        """f(x, t) = c_skip(t) x + c_out(t) x0(x, t), which is x itself at t = 0 (Song et al. 2023, section 3)."""
        c_skip, c_out = (c.float().view(-1, *(1,) * (x.ndim - 1)) for c in self.schedule.boundary(t))
        return c_skip * x + c_out * self.x0(x, t, given)

    def grid(self, n: int, x: Tensor) -> list[Tensor]:
        """The n + 1 times [len(x)] of n even steps, from data to noise."""
        return list(self.schedule.at(torch.arange(n + 1, device=x.device) / n)[:, None].expand(-1, len(x)))

    def solve(self, x: Tensor, given: Conditions, n: int) -> Tensor:
        """From noise to data along the ODE in n steps."""
        times = self.grid(n, x)
        for k in range(n, 0, -1):
            x = self.step(x, times[k], times[k - 1], given)
        return x

    def jump(self, x: Tensor, given: Conditions, n: int, generator: torch.Generator) -> Tensor:
        """Multistep consistency sampling: to data, back to less noise, n times (Song et al. 2023, algorithm 1)."""
        times = self.grid(n, x)
        for k in range(n, 0, -1):
            x = self.consistency(x, times[k], given)
            if k > 1:
                x = self.noised(x, torch.randn(x.shape, generator=generator).to(x), times[k - 1])
        return x

    def straightness(self, x: Tensor, given: Conditions, n: int = 50) -> float:
        """E ||(x_1 - x_0) - v_t||^2 along the path (Liu et al. 2022, equation 6): 0 where it is straight.

        With v = eps - x0 as the denoiser predicts them at t, which is the flow's velocity, and comparable on other schedules.
        """
        times, noise, velocities = self.grid(n, x), x, []
        for k in range(n, 0, -1):
            x0, (alpha, sigma) = self.x0(x, times[k], given), self.scales(times[k], x)
            velocities.append((x - alpha * x0) / sigma - x0)
            alpha, sigma = self.scales(times[k - 1], x)
            x = alpha * x0 + sigma * (velocities[-1] + x0)
        return float(torch.stack([((noise - x) - v).flatten(1).square().sum(1).mean() for v in velocities]).mean())
