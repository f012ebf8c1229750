"""What a denoiser predicts: the only place where epsilon, x0, v and flow differ.

Functions of x0, eps and the scales alpha, sigma of x_t; independent of the network and the schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from studio.core.registry import Registry


@dataclass(frozen=True)
class Objective:
    """`target(x0, eps, alpha, sigma)` is what the network learns; `to_x0(out, x_t, alpha, sigma)` reads it back.

    `prediction` is diffusers' name for it; `per_x0` is the factor from the squared error of x0 to that of the target.
    """

    prediction: str
    target: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    to_x0: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    per_x0: Callable[[Tensor, Tensor], Tensor]


objectives: Registry[Objective] = Registry("objective")
objectives.add(
    "epsilon",
    Objective(
        "epsilon",
        target=lambda x0, eps, alpha, sigma: eps,
        to_x0=lambda out, x_t, alpha, sigma: (x_t - sigma * out) / alpha,
        per_x0=lambda alpha, sigma: (alpha / sigma) ** 2,
    ),
)
objectives.add(
    "x0",
    Objective(
        "sample",
        target=lambda x0, eps, alpha, sigma: x0,
        to_x0=lambda out, x_t, alpha, sigma: out,
        per_x0=lambda alpha, sigma: torch.ones_like(alpha),
    ),
)
objectives.add(
    "v",  # Salimans & Ho 2022; variance preserving schedules only
    Objective(
        "v_prediction",
        target=lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0,
        to_x0=lambda out, x_t, alpha, sigma: alpha * x_t - sigma * out,
        per_x0=lambda alpha, sigma: sigma.reciprocal().square(),
    ),
)
objectives.add(
    "flow",  # the velocity d x_t / d t of the straight path
    Objective(
        "flow_prediction",
        target=lambda x0, eps, alpha, sigma: eps - x0,
        to_x0=lambda out, x_t, alpha, sigma: x_t - sigma * out,
        per_x0=lambda alpha, sigma: sigma.reciprocal().square(),
    ),
)

HUBER = 0.5  # differences below it are squared, those above grow linearly

# Weights of the error of x0 by the signal-to-noise ratio of a noise level. None: the loss is not weighted.
weightings: Registry[Callable[[Tensor], Tensor] | None] = Registry("loss weighting")
weightings.add("uniform", None)
weightings.add("min_snr", lambda snr: snr.clamp(max=5.0))  # Hang et al. 2023
weightings.add("soft_min_snr", lambda snr: 5.0 * snr / (snr + 5.0))  # Crowson et al. 2024
weightings.add(
    "p2", lambda snr: snr / (1.0 + snr)
)  # Choi et al. 2022, k = 1 and gamma = 1, of epsilon's error 1 / (1 + snr)
weightings.add("edm", lambda snr: snr + 4.0)  # Karras et al. 2022, (sigma^2 + s^2) / (sigma s)^2 with deviation s = 0.5

# Of the differences from the target, elementwise.
Loss = Callable[[Tensor], Tensor]
losses: Registry[Loss] = Registry("loss")
losses.add("mse", torch.square)
losses.add("l1", torch.abs)
losses.add("huber", lambda d: torch.where(d.abs() < HUBER, d.square(), HUBER * (2 * d.abs() - HUBER)))


def weight(objective: Objective, weighting: str, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Factor of the squared error of the target at each noise level."""
    of_snr = weightings.get(weighting)
    if of_snr is None:
        return torch.ones_like(alpha)
    snr = (alpha / sigma.clamp(min=1e-6)) ** 2
    return of_snr(snr) / objective.per_x0(alpha, sigma.clamp(min=1e-6))
