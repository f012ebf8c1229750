"""What tasks without latents share: noise for a batch, the error by noise level, and sampling by a stock scheduler.

Works on data [n, ...] of any shape; independent of networks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.training.objectives import losses, weight


def noise(x0: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
    """Data [n, ...] with noise and uniform variates of the time, stratified: every batch sees all noise levels."""
    n = len(x0)
    u = (rng.permutation(n) + rng.random(n)) / n
    eps = rng.standard_normal(tuple(x0.shape), dtype=np.float32)
    return {"x0": x0, "u": torch.from_numpy(u), "eps": torch.from_numpy(eps)}


def fixed_noise(x0: Tensor, seed: int) -> dict[str, Tensor]:
    """The same with noise and times that never change, for validation."""
    rng = np.random.default_rng((seed, 1))
    u = torch.from_numpy((np.arange(len(x0)) + 0.5) / len(x0))
    return {"x0": x0, "u": u, "eps": torch.from_numpy(rng.standard_normal(tuple(x0.shape), dtype=np.float32))}


def errors(
    batch: dict[str, Tensor],
    network: Callable[[Tensor, Tensor], Tensor],
    objective: Any,
    schedule: Any,
    weighting: str,
    loss: str = "mse",
) -> tuple[Tensor, Tensor]:
    """Of each of a batch's n: the mean error of the target that `network(x_t, t)` predicts, and its weight in the loss."""
    x0, eps = batch["x0"], batch["eps"]
    t = schedule.times(batch["u"])
    alpha, sigma = (each.float() for each in schedule.alpha_sigma(t))
    a, s = (each.view(-1, *(1,) * (x0.ndim - 1)) for each in (alpha, sigma))
    difference = network(a * x0 + s * eps, t).float() - objective.target(x0, eps, a, s)
    return losses.get(loss)(difference).flatten(1).mean(dim=1), weight(objective, weighting, alpha, sigma)


def levels(error: Tensor, u: Tensor, bins: int = 8) -> dict[str, Tensor]:
    """The mean error by eighths of t: "t0" is the cleanest."""
    at = (u * bins).long().clamp(0, bins - 1)
    return {f"t{k}": error[at == k].mean() for k in range(bins) if bool((at == k).any())}


def solve(scheduler: Any, network: Callable[[Tensor, Tensor], Tensor], x: Tensor, steps: int) -> Tensor:
    """From noise x to data in `steps` of a diffusers scheduler."""
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x).prev_sample
    return x
