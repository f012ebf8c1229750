"""Distances between two sets of pictures, from their features [n, d]: Fréchet, kernel, precision and recall, nearest neighbours.

Independent of where features come from; a figure may be called FID or KID only where they are Inception's.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Between Gaussians fitted to x and y: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, eq. 6)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    c1, c2 = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (x, y))
    # The trace of (C1 C2)^(1/2) is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric.
    values, vectors = scipy.linalg.eigh(c1)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    between = np.sqrt(scipy.linalg.eigvalsh(root @ c2 @ root).clip(0)).sum()
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    return float(max(apart + np.trace(c1) + np.trace(c2) - 2 * between, 0.0))


def kernel_distance(
    x: np.ndarray, y: np.ndarray, subsets: int = 50, size: int = 500, seed: int = 0
) -> tuple[float, float]:
    """Mean and deviation over subsets of the unbiased MMD^2 with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018)."""
    rng, size = np.random.default_rng(seed), min(size, len(x), len(y))
    found = []
    for _ in range(subsets):
        a, b = (each[rng.choice(len(each), size, replace=False)].astype(np.float64) for each in (x, y))
        aa, bb, ab = ((p @ q.T / p.shape[1] + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
        pairs = size * (size - 1)
        found.append((aa.sum() - aa.trace()) / pairs + (bb.sum() - bb.trace()) / pairs - 2 * ab.mean())
    return float(np.mean(found)), float(np.std(found))


def precision_recall(real: np.ndarray, made: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Shares of `made` within `real`'s k-nearest-neighbour balls, and the other way (Kynkäänniemi et al. 2019)."""
    between = distances(real, made)
    radii = [np.sort(distances(each, each), axis=1)[:, k] for each in (real, made)]  # column 0 is the point itself
    return float((between <= radii[0][:, None]).any(0).mean()), float((radii[1][:, None] >= between.T).any(0).mean())


@dataclass(frozen=True)
class Nearest:
    """For each made picture the nearest training one; `limit` is what 99 of 100 held-out pictures are further away than."""

    rows: tuple[int, ...]
    distance: tuple[float, ...]
    limit: float
    ratio: float  # of the median distances, made against held out: 1 is as new as held-out pictures, 0 is a copy

    @property
    def memorised(self) -> tuple[int, ...]:
        """The made pictures that are nearer to a training picture than nearly all held-out ones are."""
        return tuple(i for i, d in enumerate(self.distance) if d < self.limit)


def nearest(train: np.ndarray, held_out: np.ndarray, made: np.ndarray) -> Nearest:
    own, usual = distances(made, train), distances(held_out, train).min(1)
    least, middle = own.min(1), float(np.median(usual))
    ratio = float(np.median(least)) / middle if middle else 0.0
    return Nearest(tuple(own.argmin(1).tolist()), tuple(least.tolist()), float(np.quantile(usual, 0.01)), ratio)


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean, [n, m]."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)[None] - 2 * x @ y.T
    return np.sqrt(squares.clip(0))
