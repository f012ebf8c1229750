"""Holds a cell of the sampler table against its definition: the same start and the same noise, through ours and through the
reference, and the relative difference of where they end."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchsde

from studio.core.samplers import SOLVERS
from studio.engine.samplers import build_scheduler, seed_scheduler
from tests.engine import reference_solvers as solvers
from tests.engine.analytic import DIFFUSION_CONFIG, FLOW_CONFIG
from tests.engine.reference import denoise, flow_levels, levels, training_levels

STEPS = 16  # with fewer than 15 some of diffusers' classes lower their order towards the end
SHAPE = (1, 1, 4, 8)
TRAINING = training_levels()
WHOLE = {"ddim", "ddpm", "pndm"}  # look levels up by timestep
ENDS_LOW = {"ddim", "pndm", "tcd"}  # at the lowest level, as Stable Diffusion's configuration has it
TWICE = {"heun", "dpmpp_sde", "dpmpp_2s_a"}  # each level but the first and the last occurs twice
DRAWING = {"euler_a", "dpm2_a", "dpmpp_2s_a", "dpmpp_3m_sde"}

# What a configuration may say of its own spacing, which a named spacing does not depend on.
CARRIED = ("linspace", "trailing", "leading")
CLOSE = 1e-4
LOOSER = {"dpmpp_sde": 1e-3, "dpm_adaptive": 3e-3}  # a Brownian motion is rough; lengths of steps follow small numbers
# On the model's own spacing these have steps of one length, as diffusers has them: where that is not the grid's, it is
# no definition that they could be held against.
ONE_LENGTH = {"ddim", "pndm"}

CELLS = [
    (sampler, spacing, prediction, carried)
    for sampler, row in SOLVERS.items()
    if row.scheduler and "epsilon" in row.predictions
    for spacing in row.spacings
    for prediction in sorted(row.predictions)
    for carried in CARRIED
    if not (spacing == "default" and sampler in ONE_LENGTH and carried != "leading")
]
FLOW_CELLS = [
    (s, spacing) for s, row in SOLVERS.items() if row.predictions == {"flow_prediction"} for spacing in row.spacings
]


@dataclass(frozen=True)
class Run:
    scheduler: Any
    start: np.ndarray  # unit noise
    end: np.ndarray
    draw: Callable[[], np.ndarray]  # the noise that the run was given, once more
    calls: int


def network(prediction: str) -> Callable[[np.ndarray, float], np.ndarray]:
    """What a perfect model answers, shown a state of unit variance and a timestep."""

    def answer(shown: np.ndarray, timestep: float) -> np.ndarray:
        if prediction == "flow_prediction":
            sigma = timestep / 1000
            return (shown - flow_x0(shown, sigma)) / sigma
        sigma = float(np.exp(np.interp(timestep, np.arange(len(TRAINING)), np.log(TRAINING))))
        signal = 1 / math.sqrt(1 + sigma**2)
        x0 = denoise(shown / signal, sigma)
        noise = (shown / signal - x0) / sigma
        return {"epsilon": noise, "sample": x0, "v_prediction": signal * (noise - sigma * x0)}[prediction]

    return answer


def flow_x0(x: np.ndarray, sigma: float) -> np.ndarray:
    return denoise(x / (1 - sigma), sigma / (1 - sigma)) if sigma < 1 else denoise(x, math.inf)


def run(scheduler: Any, steps: int, prediction: str, **layout: Any) -> Run:
    scheduler.set_timesteps(steps, **layout)
    seed_scheduler(scheduler, [0])
    generator, again = torch.Generator().manual_seed(0), torch.Generator()
    start = torch.randn(SHAPE, generator=generator)
    again.set_state(generator.get_state())
    draws = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    x, answer, calls = start * float(getattr(scheduler, "init_noise_sigma", 1.0)), network(prediction), 0
    for timestep in scheduler.timesteps:
        shown = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
        output = torch.from_numpy(answer(shown.double().numpy(), float(timestep))).float()
        x = scheduler.step(output, timestep, x, return_dict=False, **draws)[0]
        calls += 1
    fresh = lambda: torch.randn(SHAPE, generator=again).double().numpy()  # noqa: E731
    return Run(scheduler, start.double().numpy(), x.double().numpy(), fresh, calls)


def sigmas_of(scheduler: Any, sampler: str) -> np.ndarray:
    """Where the steps of a scheduler as it is begin and end, each level once: for the model's own spacing."""
    if not hasattr(scheduler, "sigmas"):
        sigmas = TRAINING[scheduler.timesteps.numpy()]
        sigmas = np.append(np.delete(sigmas, 1) if sampler == "pndm" else sigmas, 0.0)
    else:
        sigmas = scheduler.sigmas.double().numpy()
    if sampler in TWICE:
        return np.append(sigmas[:-1:2], sigmas[-1]) if len(sigmas) % 2 else np.concatenate([sigmas[:1], sigmas[1::2]])
    if sampler in ("dpm2", "dpm2_a"):
        return np.concatenate([sigmas[:1], sigmas[1:-1:2]])
    return sigmas


def expected(made: Run, sampler: str, spacing: str, prediction: str) -> np.ndarray:
    scheduler, row = made.scheduler, SOLVERS.get(sampler)
    sigmas = sigmas_of(scheduler, sampler)
    if spacing != "default":
        defined = np.append(levels(spacing, STEPS, TRAINING, whole=sampler in WHOLE), 0.0)
        assert np.allclose(sigmas, defined, rtol=1e-4)
        if sampler != "dpmpp_sde":  # the motion differs visibly between levels that differ in their seventh digit
            sigmas = defined
    if sampler in ENDS_LOW:
        sigmas[-1] = TRAINING[0]
    first, last = float(sigmas[0]), float(sigmas[-1])
    x = made.start * (float(scheduler.init_noise_sigma) if row.scales_input else math.sqrt(1 + first**2))
    end = _solve(made, sampler, prediction, x, sigmas)
    return end if row.scales_input else end / math.sqrt(1 + last**2)


def _solve(made: Run, sampler: str, prediction: str, x: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    low, high = TRAINING[0], TRAINING[-1]
    if sampler in DRAWING:
        return getattr(solvers, sampler)(denoise, x, sigmas, made.draw)
    special: dict[str, Callable[[], np.ndarray]] = {
        "ddim": lambda: solvers.euler(denoise, x, sigmas),
        "ddpm": lambda: solvers.euler_a(denoise, x, sigmas, made.draw),
        "dpmpp_2m_sde": lambda: solvers.dpmpp_2m(denoise, x, sigmas, made.draw),
        "dpmpp_sde": lambda: solvers.dpmpp_sde(denoise, x, sigmas, brownian(sigmas[-2], sigmas[0])),
        "dpm_fast": lambda: solvers.dpm_fast(denoise, x, low, high, STEPS),
        "dpm_adaptive": lambda: solvers.dpm_adaptive(denoise, x, low, high)[0],
        "lcm": lambda: solvers.lcm(denoise, x, sigmas, made.scheduler.timesteps.numpy(), made.draw),
        "tcd": lambda: solvers.tcd(denoise, x, made.scheduler.timesteps.numpy(), TRAINING.__getitem__, made.draw),
        "sa_solver": lambda: solvers.sa_solver(denoise, x, sigmas, made.draw, _stirred),
        "pndm": lambda: solvers.plms(*_predicting(prediction), x, sigmas),
    }
    return special[sampler]() if sampler in special else getattr(solvers, sampler)(denoise, x, sigmas)


def _stirred(sigma: float) -> float:
    """SA-Solver's tau as diffusers has it: noise is added in the middle of the schedule alone."""
    return float(200 <= np.interp(math.log(sigma), np.log(TRAINING), np.arange(len(TRAINING))) <= 800)


def brownian(low: float, high: float) -> Callable[[float, float], np.ndarray]:
    """Increments of the motion that the run was given, each of unit variance, from a higher level to a lower one."""
    ends = torch.tensor([low, high])
    motion = torchsde.BrownianInterval(
        *ends, size=SHAPE[1:], dtype=torch.float32, entropy=0, tol=1e-6, pool_size=24, halfway_tree=True
    )

    def increment(a: float, b: float) -> np.ndarray:
        above, below = torch.tensor([a, b]).clamp(*ends)
        return (-motion(below, above) / (above - below).sqrt())[None].double().numpy()

    return increment


def _predicting(prediction: str) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """(what the model predicts of a state, the noise that it means), for a solver that combines predictions as they are."""
    answer = network(prediction)

    def out(x: np.ndarray, sigma: float) -> np.ndarray:
        timestep = float(np.interp(math.log(sigma), np.log(TRAINING), np.arange(len(TRAINING))))
        return answer(x / math.sqrt(1 + sigma**2), timestep)

    def to_noise(value: np.ndarray, x: np.ndarray, sigma: float) -> np.ndarray:
        signal = 1 / math.sqrt(1 + sigma**2)
        return value if prediction == "epsilon" else signal * (value + sigma * signal * x)

    return out, to_noise


def error_of(sampler: str, spacing: str, prediction: str, carried: str) -> float:
    """Relative difference (root mean square) from the definition; `carried`: the configuration's own timestep spacing."""
    config = DIFFUSION_CONFIG | {"prediction_type": prediction, "timestep_spacing": carried, "skip_prk_steps": True}
    made = run(build_scheduler(config, sampler, spacing, STEPS, "sd1"), STEPS, prediction)
    return relative(made.end, expected(made, sampler, spacing, prediction))


def flow_error_of(sampler: str, spacing: str, steps: int = STEPS) -> float:
    made = run(build_scheduler(FLOW_CONFIG, sampler, spacing, steps, "sd3"), steps, "flow_prediction")
    sigmas = made.scheduler.sigmas.double().numpy()
    if sampler == "flow_heun":
        sigmas = np.append(sigmas[:-1:2], sigmas[-1])
    if spacing != "default":
        sigmas = np.append(flow_levels(spacing, steps, FLOW_CONFIG["shift"]), 0.0)
    solve = {"flow_dpmpp_2m": solvers.dpmpp_2m, "flow_unipc": solvers.unipc}.get(sampler)
    if solve:  # in the variance-exploding frame
        ratios = sigmas / (1 - sigmas)
        return relative(made.end, solve(denoise, made.start * (1 + ratios[0]), ratios))
    solve = solvers.heun if sampler == "flow_heun" else solvers.euler  # along straight paths they read the same
    return relative(made.end, solve(flow_x0, made.start, sigmas))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.sqrt(((ours - theirs) ** 2).mean() / (theirs**2).mean()))
