"""Samplers as their papers and k-diffusion define them, in float64 and a few lines each: what ours are held against.

Written from the definitions, without the code that is tested. The state is x = x0 + sigma n throughout ("variance
exploding"), and `f(x, sigma)` is the exact mean of the clean picture, so an answer has no error but the solver's.
`sigmas` are falling and end with the level where the run ends, mostly zero.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from scipy import integrate

Array = np.ndarray
Denoise = Callable[[Array, float], Array]
Draw = Callable[[], Array]  # fresh unit noise


def euler(f: Denoise, x: Array, sigmas: Array) -> Array:
    for a, b in pairwise(sigmas):
        x = x + (b - a) * (x - f(x, a)) / a
    return x


def heun(f: Denoise, x: Array, sigmas: Array) -> Array:
    for a, b in pairwise(sigmas):
        d = (x - f(x, a)) / a
        ahead = x + (b - a) * d
        x = ahead if b == 0 else x + (b - a) * (d + (ahead - f(ahead, b)) / b) / 2
    return x


def dpm2(f: Denoise, x: Array, sigmas: Array) -> Array:
    for a, b in pairwise(sigmas):
        d = (x - f(x, a)) / a
        if b == 0:
            return x - a * d
        middle = math.sqrt(a * b)
        half = x + (middle - a) * d
        x = x + (b - a) * (half - f(half, middle)) / middle
    return x


def ancestral(a: float, b: float) -> tuple[float, float]:
    """(level to step down to, noise to add) for a step from a to b."""
    return b * b / a, math.sqrt(b * b - (b * b / a) ** 2)


def euler_a(f: Denoise, x: Array, sigmas: Array, draw: Draw) -> Array:
    for a, b in pairwise(sigmas):
        down, up = ancestral(a, b)
        x = x + (down - a) * (x - f(x, a)) / a + up * draw()
    return x


def dpm2_a(f: Denoise, x: Array, sigmas: Array, draw: Draw) -> Array:
    for a, b in pairwise(sigmas):
        down, up = ancestral(a, b)
        d = (x - f(x, a)) / a
        if b == 0:
            return x - a * d
        middle = math.sqrt(a * down)
        half = x + (middle - a) * d
        x = x + (down - a) * (half - f(half, middle)) / middle + up * draw()
    return x


def lagrange(nodes: Sequence[float], k: int, at: float) -> float:
    return math.prod((at - c) / (nodes[k] - c) for j, c in enumerate(nodes) if j != k)


def adams(f: Denoise, x: Array, sigmas: Array, order: int, scale: Callable[[float], float] = lambda s: s) -> Array:
    """Adams-Bashforth: the slopes behind, as a polynomial in scale(sigma), integrated over sigma."""
    slopes: list[Array] = []
    for i, (a, b) in enumerate(pairwise(sigmas)):
        slopes = [(x - f(x, a)) / a, *slopes][:order]
        if b == 0 and scale(1.0) == 0:  # a logarithm
            return f(x, a)
        nodes = [scale(sigmas[i - k]) for k in range(len(slopes))]
        for k, slope in enumerate(slopes):
            x = x + slope * integrate.quad(lambda s, k=k, n=nodes: lagrange(n, k, scale(s)), a, b, epsabs=1e-12)[0]
    return x


def lms(f: Denoise, x: Array, sigmas: Array) -> Array:
    return adams(f, x, sigmas, 4)


def deis(f: Denoise, x: Array, sigmas: Array) -> Array:
    return adams(f, x, sigmas, 2, math.log)


def plms(out: Denoise, to_noise: Callable[[Array, Array, float], Array], x: Array, sigmas: Array) -> Array:
    """Pseudo linear multistep (Liu et al. 2022) with a Heun-like first step; `out` is what the model predicts."""
    weights = ([3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24])
    past: list[Array] = []
    for i, (a, b) in enumerate(pairwise(sigmas)):
        past = [out(x, a), *past][:4]
        if len(past) == 1:
            used = past[0]
            if i + 2 < len(sigmas):
                ahead = x + (b - a) * to_noise(used, x, a)
                used = (used + out(ahead, b)) / 2
        else:
            used = sum(w * p for w, p in zip(weights[len(past) - 2], past, strict=True))
        x = x + (b - a) * to_noise(used, x, a)
    return x


def dpmpp_2m(f: Denoise, x: Array, sigmas: Array, draw: Draw | None = None) -> Array:
    """With `draw`, the stochastic form (midpoint)."""
    before, h_before = None, 0.0
    for a, b in pairwise(sigmas):
        x0 = f(x, a)
        noise = draw() if draw else 0.0
        if b == 0:
            return x0
        h = math.log(a / b)
        used = x0 if before is None else x0 + (x0 - before) * h / h_before / 2
        eta = 2 if draw else 1
        x = math.exp(-eta * h) * x + (1 - math.exp(-eta * h)) * used + b * math.sqrt(1 - math.exp(-2 * h)) * noise
        before, h_before = x0, h
    return x


def dpmpp_3m_sde(f: Denoise, x: Array, sigmas: Array, draw: Draw) -> Array:
    """Polynomial through the last three predictions, in log sigma, against the kernel exp(-2h), integrated exactly."""
    past: list[tuple[float, Array]] = []
    for a, b in pairwise(sigmas):
        past = [(-math.log(a), f(x, a)), *past][:3]
        noise = draw()
        if b == 0:
            return past[0][1]
        h, t0 = math.log(a / b), past[0][0]
        phi2 = math.expm1(-2 * h) / (2 * h) + 1
        phi3 = phi2 / (2 * h) - 0.5
        x = math.exp(-2 * h) * x + -math.expm1(-2 * h) * past[0][1] + b * math.sqrt(-math.expm1(-2 * h)) * noise
        slopes = [(p - q) / (t - u) * h for (t, p), (u, q) in pairwise(past)]
        if len(slopes) == 2:
            span = (t0 - past[2][0]) / h
            bend = (slopes[0] - slopes[1]) / span
            x = x + phi2 * (slopes[0] + bend * (t0 - past[1][0]) / h) - phi3 * bend
        elif slopes:
            x = x + phi2 * slopes[0]
    return x


def dpmpp_sde(f: Denoise, x: Array, sigmas: Array, noise: Callable[[float, float], Array]) -> Array:
    for a, b in pairwise(sigmas):
        x0 = f(x, a)
        if b == 0:
            return x0
        middle = math.sqrt(a * b)
        down, up = ancestral(a, middle)
        half = down / a * x + (1 - down / a) * x0 + up * noise(a, middle)
        down, up = ancestral(a, b)
        x = down / a * x + (1 - down / a) * f(half, middle) + up * noise(a, b)
    return x


def dpmpp_2s(f: Denoise, x: Array, sigmas: Array) -> Array:
    """Every second level is the inner point of a step of second order; what is left over is of first."""
    i, last = 0, len(sigmas) - 1
    while i < last:
        a, b, c = sigmas[i], sigmas[i + 1], sigmas[min(i + 2, last)]
        x0 = f(x, a)
        half = b / a * x + (1 - b / a) * x0
        if i + 2 > last or c == 0:
            x, i = half, i + 1
            continue
        share = math.log(a / b) / math.log(a / c)
        x = c / a * x + (1 - c / a) * (x0 + (f(half, b) - x0) / share / 2)
        i += 2
    return x


def dpmpp_2s_a(f: Denoise, x: Array, sigmas: Array, draw: Draw) -> Array:
    for a, b in pairwise(sigmas):
        down, up = ancestral(a, b)
        x0 = f(x, a)
        if b == 0:
            return x0
        middle = math.sqrt(a * down)
        half = middle / a * x + (1 - middle / a) * x0
        x = down / a * x + (1 - down / a) * f(half, middle) + up * draw()
    return x


def unipc(f: Denoise, x: Array, sigmas: Array) -> Array:
    """UniPC-2 with B2 (Zhao et al. 2023): every state but the first is corrected with the prediction made at it."""
    times, past = [-math.log(s) if s > 0 else math.inf for s in sigmas], []
    steps = len(sigmas) - 1
    start, order_before = x, 0
    for i in range(steps):
        x0 = f(x, sigmas[i])
        if i:  # correct the step that led here
            h = times[i] - times[i - 1]
            phi1 = -math.expm1(-h)
            phi2 = 1 - phi1 / h
            if order_before == 1:
                used = 0.5 * (x0 - past[0])
            else:
                r = (times[i - 2] - times[i - 1]) / h
                slope = (past[1] - past[0]) / r
                right = np.array([phi2, 2 * (0.5 - phi2 / h)]) / phi1
                weights = np.linalg.solve(np.array([[1.0, 1.0], [r, 1.0]]), right)
                used = weights[0] * slope + weights[1] * (x0 - past[0])
            x = math.exp(-h) * start + phi1 * (past[0] + used)
        past = [x0, *past][:2]
        start, order_before = x, min(2, steps - i, len(past))
        h = times[i + 1] - times[i]
        used = past[0]
        if order_before == 2:
            used = used + 0.5 * (past[1] - past[0]) * h / (times[i - 1] - times[i])
        x = math.exp(-h) * x - math.expm1(-h) * used
    return x


def sa_solver(f: Denoise, x: Array, sigmas: Array, draw: Draw, tau: Callable[[float], float]) -> Array:
    """SA-Solver (Xue et al. 2023): between levels the variance-controlled SDE, whose prediction is a line through two; as its
    authors do at this order, the line's slope is weighed as if the kernel were one. Every state but the first is corrected
    with the prediction made at it and the noise that led to it; the last step has no slope."""

    def step(x: Array, x0: Array, slope: Array | float, a: float, b: float, noise: Array) -> Array:
        h, g = math.log(a / b), 1 + tau(a) ** 2
        grown = b * math.sqrt(-math.expm1(-2 * (g - 1) * h)) * noise
        return math.exp(-g * h) * x - math.expm1(-g * h) * x0 + g * h**2 / 2 * slope + grown

    start = past = noise = before = None
    for i, (a, b) in enumerate(pairwise(sigmas)):
        x0, slope = f(x, a), 0.0
        if past is not None:
            slope = (x0 - past) / math.log(before / a)
            x = step(start, past, slope, before, a, noise)
        if b == 0:
            return x0
        start, past, noise, before = x, x0, draw(), a
        x = step(x, x0, slope if i + 2 < len(sigmas) else 0.0, a, b, noise)
    return x


def dpm_solver(f: Denoise, x: Array, a: float, b: float, order: int, r: float = 0.5) -> Array:
    """One step of DPM-Solver-1, -2 or -3 (Lu et al. 2022) from level a to b."""
    h = math.log(a / b)
    noise = (x - f(x, a)) / a

    def at(share: float, state: Array) -> Array:
        level = a * math.exp(-share * h)
        return (state - f(state, level)) / level

    def plain(share: float) -> Array:
        return x - a * math.exp(-share * h) * math.expm1(share * h) * noise

    if order == 1:
        return plain(1.0)
    if order == 2:
        return plain(1.0) - b * math.expm1(h) / (2 * r) * (at(r, plain(r)) - noise)
    first = at(1 / 3, plain(1 / 3)) - noise
    weight = math.expm1(2 / 3 * h) / (2 / 3 * h) - 1
    second = at(2 / 3, plain(2 / 3) - a * math.exp(-2 / 3 * h) * 2 * weight * first) - noise
    return plain(1.0) - b * 1.5 * (math.expm1(h) / h - 1) * second


def dpm_fast(f: Denoise, x: Array, low: float, high: float, calls: int) -> Array:
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    ends = np.exp(np.linspace(math.log(high), math.log(low), count + 1))
    for order, a, b in zip(orders, ends[:-1], ends[1:], strict=True):
        x = dpm_solver(f, x, a, b, order)
    return x


def dpm_adaptive(f: Denoise, x: Array, low: float, high: float) -> tuple[Array, int]:
    """(the end, steps): DPM-Solver-23 with the step length of k-diffusion's controller."""
    level, length, before, steps = high, 0.05, x, 0
    while math.log(level / low) > 1e-5:
        to = max(low, level * math.exp(-length))
        lower, higher = dpm_solver(f, x, level, to, 2, 1 / 3), dpm_solver(f, x, level, to, 3)
        allowed = np.maximum(0.0078, 0.05 * np.maximum(abs(lower), abs(before)))
        error = math.sqrt((((lower - higher) / allowed) ** 2).mean())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        length *= factor
        if factor >= 0.81:
            x, before, level, steps = higher, lower, to, steps + 1
    return x, steps


def lcm(f: Denoise, x: Array, sigmas: Array, timesteps: Array, draw: Draw) -> Array:
    """Latent consistency (Luo et al. 2023): jump to the boundary-scaled picture, and back by fresh noise; in the
    variance-preserving frame, as its scalings are defined."""
    signal = 1 / np.sqrt(1 + np.asarray(sigmas) ** 2)
    for i, t in enumerate(timesteps):
        scaled, skip = 10.0 * t, 0.5**2 / ((10.0 * t) ** 2 + 0.5**2)
        picture = scaled / math.sqrt(scaled**2 + 0.5**2) * f(x, sigmas[i]) + skip * signal[i] * x
        if i + 1 == len(timesteps):
            return picture
        x = picture + sigmas[i + 1] * draw()
    return x


def tcd(
    f: Denoise, x: Array, timesteps: Array, level: Callable[[float], float], draw: Draw, gamma: float = 0.3
) -> Array:
    """Strategic stochastic sampling (Zheng et al. 2024, algorithm 4): down to a share of the next time, and noise up to it."""
    for now, after in pairwise([*timesteps, 0]):
        sigma, down, up = level(now), level(math.floor((1 - gamma) * after)), level(after)
        x0 = f(x, sigma)
        x = x0 + down / sigma * (x - x0) + (math.sqrt(up**2 - down**2) * draw() if after else 0.0)
    return x
