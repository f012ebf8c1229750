"""Densities in the plane, each an equal mixture of round Gaussians: its score at every noise level is a closed form.

Numpy only; independent of noise schedules and of what is trained. All have mean 0 and unit variance a coordinate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from studio.core.errors import InvalidRequest
from studio.core.registry import Registry

Points = np.ndarray  # [n, 2]
DRAWING = "drawing"
FEWEST_POINTS = 20  # of a drawing


@dataclass(frozen=True)
class Density:
    """sum_k N(x; centres[k], std^2 I) / K, with a class for each component."""

    centres: Points  # [K, 2]
    std: float
    labels: np.ndarray  # [K]

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Points, np.ndarray]:
        """Points [n, 2] in fp32, and their classes [n]."""
        picks = rng.integers(0, len(self.centres), n)
        points = self.centres[picks] + self.std * rng.standard_normal((n, 2))
        return points.astype(np.float32), self.labels[picks]

    def denoised(self, x: Points, alpha: float, sigma: float) -> Points:
        """E[x0 | x_t = x] [n, 2] of x_t = alpha x0 + sigma eps."""
        variance = alpha**2 * self.std**2 + sigma**2
        share = self._shares(x, np.full(len(x), alpha), np.full(len(x), sigma))
        return share @ self.centres * (sigma**2 / variance) + alpha * self.std**2 / variance * x

    def posterior(self, x: Points, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """p(class | x_t = x) [n, classes], each point with its own alpha and sigma [n]."""
        of = self.labels[:, None] == np.arange(self.classes)
        return self._shares(x, alpha, sigma) @ of.astype(float)

    def _shares(self, x: Points, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """The components' posterior shares [n, K]."""
        away = x[:, None] - alpha[:, None, None] * self.centres  # [n, K, 2]
        logits = -0.5 * (away**2).sum(-1) / (alpha**2 * self.std**2 + sigma**2)[:, None]
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        out: np.ndarray = share / share.sum(axis=1, keepdims=True)
        return out

    def score(self, x: Points, alpha: float, sigma: float) -> Points:
        """The gradient of log p_t at x [n, 2]; Tweedie: (alpha E[x0 | x] - x) / sigma^2."""
        return (alpha * self.denoised(x, alpha, sigma) - x) / sigma**2


densities: Registry[Callable[[], Density]] = Registry("density")


def density(name: str, drawing: Points | None = None) -> Density:
    """The registered one, or that of a person's drawing [n, 2]."""
    if name != DRAWING:
        return densities.get(name, field="task.density")()
    if drawing is None:
        raise InvalidRequest("A drawing needs points.", field="task.drawing")
    return _scaled(drawing, 0.03)


def check_drawing(points: Points) -> str:
    """What is wrong with a drawing, in one sentence; empty where nothing is."""
    if len(points) < FEWEST_POINTS:
        return f"there is too little ink in the drawing: {len(points)} points of at least {FEWEST_POINTS}"
    if np.ptp(points, axis=0).max() < 1e-3:
        return "all points of the drawing lie in one place"
    return ""


def _scaled(centres: Points, std: float, labels: np.ndarray | None = None) -> Density:
    """With mean 0 and unit variance; `std` is that of a component afterwards."""
    centres = np.asarray(centres, dtype=np.float64)
    centres = centres - centres.mean(axis=0)
    centres *= np.sqrt((1 - std**2) / (centres**2).mean())
    return Density(centres, std, np.zeros(len(centres), int) if labels is None else labels)


def _circle(count: int, radius: float = 1.0, arc: float = 2 * np.pi) -> Points:
    angle = np.arange(count) * arc / count
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@densities.register("eight_gaussians")
def eight_gaussians() -> Density:
    return _scaled(_circle(8), 0.1, np.arange(8))


@densities.register("two_moons")
def two_moons(count: int = 60) -> Density:
    """One class a moon."""
    upper = _circle(count, arc=np.pi)
    lower = np.array([1.0, 0.5]) - upper
    return _scaled(np.concatenate([upper, lower]), 0.09, np.repeat([0, 1], count))


@densities.register("swirl")
def swirl(count: int = 160, turns: float = 2.25) -> Density:
    """Archimedes' spiral, with components at equal distances along it."""
    angle = 2 * np.pi * turns * np.sqrt(np.linspace(0.02, 1, count))
    return _scaled(angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), 0.05)


@densities.register("checkerboard")
def checkerboard(side: int = 4, count: int = 10) -> Density:
    """`count` x `count` components in each dark square."""
    row, column = (grid.ravel() for grid in np.indices((side, side)))
    dark = (row + column) % 2 == 0
    inner = (np.indices((count, count)).reshape(2, -1).T + 0.5) / count
    corners = np.stack([column, row], axis=1)[dark]
    return _scaled((corners[:, None] + inner).reshape(-1, 2), 0.05)


@densities.register("rings")
def rings(radii: tuple[float, ...] = (0.35, 0.7, 1.05), count: int = 40) -> Density:
    """One class a ring, each as dense as the others along its line."""
    counts = [count * (number + 1) for number in range(len(radii))]
    circles = [_circle(each, radius) for each, radius in zip(counts, radii, strict=True)]
    return _scaled(np.concatenate(circles), 0.05, np.repeat(np.arange(len(radii)), counts))
