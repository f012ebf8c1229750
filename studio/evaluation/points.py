"""Distances between sets of points in the plane. Numpy only; independent of where the points are from."""

import numpy as np

Points = np.ndarray  # [n, 2]
FAR = 4.0  # standard deviations; of a round Gaussian's points 0.03 % are farther from its centre


def sliced_wasserstein(a: Points, b: Points, directions: int = 64) -> float:
    """Sliced 1-Wasserstein distance (Bonneel et al. 2015) of two sets of equal size, over evenly spread directions."""
    angle = np.pi * (np.arange(directions) + 0.5) / directions
    axes = np.stack([np.cos(angle), np.sin(angle)])  # [2, directions]
    return float(np.abs(np.sort(a @ axes, axis=0) - np.sort(b @ axes, axis=0)).mean())


def off_mode(points: Points, centres: Points, std: float, far: float = FAR) -> float:
    """The share of the points that are farther than `far` standard deviations from every centre [k, 2]."""
    squares = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T  # [n, k]
    return float((squares.min(axis=1) > (far * std) ** 2).mean())
