"""Post-hoc EMA (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C).

Averages with power-function profiles, p(t) ~ t^gamma over 0..T, kept as snapshots, are combined into that of any width after
the run. Works on numbers and on lists of tensors; independent of models and of the trainer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def exponent(width: float) -> float:
    """gamma of the profile whose deviation is `width` times the training time (0 < width < 0.2887)."""
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real.max())


def decay(step: int, gamma: float) -> float:
    """beta of average <- beta average + (1 - beta) weights at update number `step`, 1 for the first."""
    return (1 - 1 / step) ** (gamma + 1)


def overlap(t_a: float, gamma_a: float, t_b: float, gamma_b: float) -> float:
    """The integral of the product of two profiles that end at t_a and t_b."""
    ratio = t_a / t_b
    power = np.where(ratio < 1, gamma_b, -gamma_a)
    most = max(t_a, t_b)
    return float((gamma_a + 1) * (gamma_b + 1) * ratio**power / ((gamma_a + gamma_b + 1) * most))


def coefficients(kept: Sequence[tuple[float, float]], end: float, width: float) -> np.ndarray:
    """How much of each kept average, (its last step, its gamma), makes that of `width` at step `end`: least squares."""
    gamma = exponent(width)
    gram = np.array([[overlap(*a, *b) for b in kept] for a in kept])
    aim = np.array([overlap(*a, end, gamma) for a in kept])
    return np.linalg.lstsq(gram, aim, rcond=None)[0]


def combined(averages: Sequence[Sequence[Tensor]], shares: Sequence[float]) -> list[Tensor]:
    """The weighted sum of the kept averages, tensor by tensor, in double precision."""
    return [
        torch.stack([share * tensor.double() for tensor, share in zip(tensors, shares, strict=True)])
        .sum(0)
        .to(tensors[0])
        for tensors in zip(*averages, strict=True)
    ]
