"""The noise levels of every named spacing, from its definition alone; numbers in, numbers out.

Levels are sigmas, noise over signal, falling, without the final zero. `levels` are those of the training schedule, rising,
one a timestep. Timesteps need not be whole: where a level lies between two of training, so does its timestep.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from studio.core.errors import InvalidRequest

RHO = 7.0  # Karras et al. 2022
BETA = 0.6  # both parameters of the distribution (Lee et al. 2024)

# Noise levels of "Align Your Steps" (Sabour et al. 2024, https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/) for
# ten steps, as timesteps of the models' shared training schedule; the last is where the tenth step ends.
AYS_TIMESTEPS: dict[str, tuple[float, ...]] = {
    "sd1": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
}


@dataclass(frozen=True)
class Grid:
    """Where each step begins."""

    sigmas: np.ndarray
    timesteps: np.ndarray


@dataclass(frozen=True)
class Training:
    """What a model was trained on: its levels, the range to be sampled, and the offset that "leading" adds."""

    levels: np.ndarray  # rising, one a timestep
    last: int  # the timestep where sampling begins
    lowest: float
    highest: float
    offset: int = 0
    family: str | None = None

    def timesteps(self, sigmas: np.ndarray) -> np.ndarray:
        """Between training's levels by their logarithm, as k-diffusion has it."""
        return np.interp(np.log(sigmas), np.log(self.levels), np.arange(len(self.levels)))

    def sigmas(self, timesteps: np.ndarray) -> np.ndarray:
        """The inverse. (diffusers goes between levels in a straight line this way, and by the logarithm the other.)"""
        return np.exp(np.interp(timesteps, np.arange(len(self.levels)), np.log(self.levels)))


def karras(steps: int, lowest: float, highest: float) -> np.ndarray:
    """Karras et al. 2022, equation 5."""
    first, last = highest ** (1 / RHO), lowest ** (1 / RHO)
    return (first + np.linspace(0, 1, steps) * (last - first)) ** RHO


def exponential(steps: int, lowest: float, highest: float) -> np.ndarray:
    return np.exp(np.linspace(np.log(highest), np.log(lowest), steps))


def beta(steps: int) -> np.ndarray:
    """Shares of the whole time, from 1 downwards; the step after the last ends at 0."""
    return betaincinv(BETA, BETA, 1 - np.arange(steps) / steps)


def linspace(steps: int, training: Training) -> np.ndarray:
    return np.linspace(training.last, 0, steps)


def trailing(steps: int, training: Training) -> np.ndarray:
    total = training.last + 1
    return np.round(total - np.arange(steps) * total / steps) - 1


def leading(steps: int, training: Training) -> np.ndarray:
    return np.arange(steps)[::-1] * ((training.last + 1) // steps) + training.offset


def sgm_uniform(steps: int, training: Training) -> np.ndarray:
    return np.linspace(training.last, 0, steps + 1)[:-1]


def beta_timesteps(steps: int, training: Training) -> np.ndarray:
    return beta(steps) * training.last


def align_your_steps(steps: int, training: Training) -> np.ndarray:
    """The published levels, log-linearly interpolated to the steps asked for and the end, as their authors do it."""
    if training.family not in AYS_TIMESTEPS:
        known = ", ".join(AYS_TIMESTEPS)
        raise InvalidRequest(f"Align-your-steps is known for {known}, not for {training.family}.", field="spacing")
    if len(training.levels) != 1000:
        raise InvalidRequest("Align-your-steps needs a model trained with 1000 timesteps.", field="spacing")
    published = np.log(training.sigmas(np.array(AYS_TIMESTEPS[training.family])))
    places = np.linspace(0, len(published) - 1, steps + 1)[:-1]
    return np.exp(np.interp(places, np.arange(len(published)), published))


_BY_RANGE: dict[str, Callable[[int, float, float], np.ndarray]] = {
    "karras": karras,
    "exponential": exponential,
    "lu": exponential,  # even in log signal-to-noise ratio, which is the same levels
}
_BY_TIMESTEPS: dict[str, Callable[[int, Training], np.ndarray]] = {
    "beta": beta_timesteps,
    "linspace": linspace,
    "trailing": trailing,
    "leading": leading,
    "sgm_uniform": sgm_uniform,
}


def diffusion_grid(spacing: str, steps: int, training: Training) -> Grid:
    if spacing in _BY_TIMESTEPS:
        timesteps = _BY_TIMESTEPS[spacing](steps, training)
        return Grid(training.sigmas(timesteps), timesteps)
    if spacing in _BY_RANGE:
        sigmas = _BY_RANGE[spacing](steps, training.lowest, training.highest)
    else:
        sigmas = align_your_steps(steps, training)
    return Grid(sigmas, training.timesteps(sigmas))


def flow_sigmas(spacing: str, steps: int, shift: Callable[[np.ndarray], np.ndarray], trained: int) -> np.ndarray:
    """Levels of a flow-matching model, where sigma is the noise's share and pure noise is 1; `shift` is the model's own."""
    if spacing == "beta":
        return shift(beta(steps))
    return _BY_RANGE[spacing](steps, float(shift(np.array(1 / trained))), 1.0)


def whole(timesteps: np.ndarray) -> np.ndarray:
    """Rounded, each below the one before: rounding may repeat a timestep, and a repeated one would be an empty step."""
    out: list[int] = []
    for remaining, t in zip(range(len(timesteps) - 1, -1, -1), timesteps.round().astype(int), strict=True):
        ceiling = out[-1] - 1 if out else int(t)
        out.append(max(min(int(t), ceiling), remaining))
    return np.array(out, dtype=np.int64)
