"""The exact denoiser of a mixture of Gaussians, and noise levels as their definitions have them, in float64.

Written from the definitions, without the code that is tested. The state is x = x0 + sigma n ("variance exploding").
"""

import functools
import math

import numpy as np
from scipy import stats

Array = np.ndarray

WEIGHTS, MEANS, STDS = np.array([0.3, 0.7]), np.array([-0.6, 0.5]), np.array([0.25, 0.15])


def denoise(x: Array, sigma: float) -> Array:
    """E[x0 | x] for a mixture of two Gaussians."""
    if math.isinf(sigma):
        return np.full_like(x, WEIGHTS @ MEANS)
    variances = STDS**2 + sigma**2
    points = x[..., None]
    log = np.log(WEIGHTS) - 0.5 * np.log(variances) - 0.5 * (points - MEANS) ** 2 / variances
    share = np.exp(log - log.max(axis=-1, keepdims=True))
    share /= share.sum(axis=-1, keepdims=True)
    return (share * (MEANS * sigma**2 + STDS**2 * points) / variances).sum(axis=-1)


# -- noise levels


@functools.cache
def training_levels(beta_start: float = 0.00085, beta_end: float = 0.012, count: int = 1000) -> Array:
    """Stable Diffusion's, rising."""
    betas = np.linspace(beta_start**0.5, beta_end**0.5, count) ** 2
    signal = np.cumprod(1 - betas)
    return np.sqrt((1 - signal) / signal)


def levels(spacing: str, steps: int, training: Array, *, offset: int = 1, whole: bool = False) -> Array:
    """The named spacing's sigmas, falling, without the final zero; `whole`: at training's own levels alone."""
    low, high, count = training[0], training[-1], len(training)
    steps_of = np.arange(steps)
    if spacing == "karras":
        return (high ** (1 / 7) + steps_of / max(steps - 1, 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    if spacing in ("exponential", "lu"):
        return high * (low / high) ** (steps_of / max(steps - 1, 1))
    if spacing == "ays":
        table = [999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0]
        sigmas = np.exp(np.interp(steps_of * 10 / steps, np.arange(11), np.log(training[table])))
        return (
            training[np.interp(np.log(sigmas), np.log(training), np.arange(count)).round().astype(int)]
            if whole
            else sigmas
        )
    timesteps = {
        "beta": lambda: stats.beta.ppf(1 - steps_of / steps, 0.6, 0.6) * (count - 1),
        "linspace": lambda: (count - 1) * (1 - steps_of / max(steps - 1, 1)),
        "trailing": lambda: np.round(count - steps_of * count / steps) - 1,
        "leading": lambda: (count // steps) * steps_of[::-1] + offset,
        "sgm_uniform": lambda: (count - 1) * (1 - steps_of / steps),
    }[spacing]()
    return np.exp(np.interp(timesteps.round() if whole else timesteps, np.arange(count), np.log(training)))


def flow_levels(spacing: str, steps: int, shift: float, count: int = 1000) -> Array:
    """Of a flow-matching model whose levels are shifted: from pure noise, 1, to the lowest that it was trained on."""

    def shifted(share: Array) -> Array:
        return shift * share / (1 + (shift - 1) * share)

    low, ramp = float(shifted(np.array(1 / count))), np.arange(steps) / max(steps - 1, 1)
    return {
        "karras": (1 + ramp * (low ** (1 / 7) - 1)) ** 7,
        "exponential": low**ramp,
        "beta": shifted(stats.beta.ppf(1 - np.arange(steps) / steps, 0.6, 0.6)),
    }[spacing]
