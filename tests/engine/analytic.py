"""A denoiser whose exact answer is known: the data are Gaussian, so the best prediction is a line (Karras et al. 2022, B.3).

With x0 ~ N(mean, std^2) and x_t = alpha x0 + sigma n, E[x0 | x_t] is linear in x_t, and the probability flow ODE carries
the start to mean + std * z, where z is the start in units of its own distribution.
"""

import inspect
from typing import Any

import numpy as np
import torch

from studio.engine.samplers import seed_scheduler
from tests.engine.reference import training_levels

MEAN, STD = 0.5, 0.4

# The training schedule of Stable Diffusion.
DIFFUSION_CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
FLOW_CONFIG = {"num_train_timesteps": 1000, "shift": 3.0}


def config_for(prediction: str) -> dict[str, Any]:
    return FLOW_CONFIG if prediction == "flow_prediction" else DIFFUSION_CONFIG | {"prediction_type": prediction}


def predict(x: torch.Tensor, alpha: float, sigma: float, prediction: str) -> torch.Tensor:
    """The exact prediction for a model input x = alpha x0 + sigma n, of any shape."""
    x = x.double()
    x0 = MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)
    noise = (x - alpha * x0) / max(sigma, 1e-9)
    answers = {
        "epsilon": noise,
        "v_prediction": alpha * noise - sigma * x0,
        "sample": x0,
        "flow_prediction": noise - x0,
    }
    return answers[prediction].float()


def level_at(timestep: Any, prediction: str) -> tuple[float, float]:
    """(alpha, sigma) that a network trained on the schedule takes a timestep for."""
    if prediction == "flow_prediction":
        sigma = float(timestep) / FLOW_CONFIG["num_train_timesteps"]
        return 1.0 - sigma, sigma
    ratio = float(np.exp(np.interp(float(timestep), np.arange(1000), np.log(training_levels()))))
    return 1.0 / np.sqrt(1.0 + ratio**2), ratio / np.sqrt(1.0 + ratio**2)


def sample(scheduler: Any, steps: int, prediction: str, *, count: int = 1024, seed: int = 0) -> tuple[Any, Any]:
    """Run a pipeline's loop; the start (unit noise) and the end, each (1, 1, 1, count)."""
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 1, 1, count, generator=generator)
    seed_scheduler(scheduler, [seed])
    return start, walk(scheduler, start * getattr(scheduler, "init_noise_sigma", 1.0), 0, prediction, generator)


def walk(scheduler: Any, x: torch.Tensor, begin: int, prediction: str, generator: torch.Generator) -> torch.Tensor:
    """A pipeline's loop from that place of the grid on."""
    draws = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps[begin:]:
        shown = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
        output = predict(shown, *level_at(timestep, prediction), prediction)
        x = scheduler.step(output, timestep, x, return_dict=False, **draws)[0]
    return x
