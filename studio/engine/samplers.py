"""From a row of the sampler table to a diffusers scheduler that is ready to be handed to a pipeline.

Knows scheduler classes by what they accept (their signatures), never by a list of its own; which pairs are legal is
the table's business (`core.samplers`), which model may use them `core.options`'.
"""

import copy
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from studio.core.errors import InvalidRequest
from studio.core.request import DEFAULT
from studio.core.samplers import OWN, SOLVERS, SPACINGS, advice, check_steps, good_from, spacing_of
from studio.engine.schedulers.beginning import Beginning

# Noise levels of "Align Your Steps" (Sabour et al. 2024, https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/),
# ten steps, as timesteps of the models' shared training schedule.
KEPT_TEMPLATES = 16
_TEMPLATES: dict[tuple[Any, str], Any] = {}  # schedulers as configured, never run

OURS = {"LMSDiscreteScheduler": "lms", "PNDMScheduler": "pndm"}  # scheduler class -> module of engine.schedulers

AYS_TIMESTEPS: dict[str, tuple[float, ...]] = {
    "sd1": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24),
    "sdxl": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13),
}


def build_scheduler(
    config: Mapping[str, Any],  # the model's own scheduler config
    sampler: str,  # a row of the table
    spacing: str,  # a column of the table
    steps: int,
    family: str | None = None,
    own: Any = None,  # the class of the model's own scheduler, for the sampler of that name
) -> Any:
    """A fresh scheduler. Raises InvalidRequest if the class cannot make this many steps, or cannot serve the model."""
    if sampler == OWN and own is not None:
        most = config.get("num_train_timesteps")
        if most is not None and steps > most:
            raise InvalidRequest(f"This model's own scheduler makes at most {most} steps.", field="steps")
        return _fresh(own, dict(config))  # as it is: its class may do everything in its own way
    solver, column = SOLVERS.get(sampler, field="sampler"), SPACINGS.get(spacing, field="spacing")
    scheduler_class = scheduler_class_of(sampler)
    adapted = _for_class(config, scheduler_class)
    overrides = {k: v for k, v in (column.overrides | solver.overrides).items() if k in _parameters(scheduler_class)}
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in _parameters(scheduler_class):
        raise InvalidRequest(
            f"Sampler {sampler} cannot start from zero signal, which this model was trained for. "
            "Choose euler, ddim or dpmpp_2m.",
            field="sampler",
        )
    try:
        scheduler = _fresh(scheduler_class, adapted | overrides)
        scheduler.__class__ = _adapted(scheduler_class)
        if grid := _TIMESTEPS.get(spacing):
            scheduler.grid = functools.partial(grid, family=family)
        _rehearse(scheduler, sampler, steps)
    except (ValueError, NotImplementedError, AssertionError, IndexError) as error:
        raise InvalidRequest(f"Sampler {sampler} with {steps} steps: {_sentence(error)}", field="steps") from error
    return scheduler


def _fresh(scheduler_class: Any, config: dict[str, Any]) -> Any:
    """`from_config`, which reads signatures and the training schedule for a while; alike ones are copied from the first."""
    key = (scheduler_class, repr(sorted(config.items())))
    if key not in _TEMPLATES:
        while len(_TEMPLATES) >= KEPT_TEMPLATES:
            del _TEMPLATES[next(iter(_TEMPLATES))]
        _TEMPLATES[key] = scheduler_class.from_config(config)
    return copy.deepcopy(_TEMPLATES[key])


def scheduler_class_of(sampler: str) -> Any:
    """Ours where there is one, else diffusers'."""
    import diffusers

    name = SOLVERS.get(sampler, field="sampler").scheduler
    module = OURS.get(name)
    return getattr(importlib.import_module(f"studio.engine.schedulers.{module}") if module else diffusers, name)


def seed_scheduler(scheduler: Any, seeds: Sequence[int]) -> None:
    """Give a scheduler that draws its own noise (a Brownian tree) one seed per image, so that it depends on nothing else."""
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = list(seeds)


def step_ends(scheduler: Any, steps: int | None = None, begin: int = 0) -> list[int]:
    """For each step of a run, the number of the scheduler call that ends it, counted from the run's first call.

    To be called after `set_timesteps`. `begin` is the place in the grid where the run begins (see `begins_at`): image to
    image leaves out the first steps. Where `steps` were asked for and the grid has one more, its last is where the last
    step ends.

    Second-order solvers call twice a step (and once for the last); PNDM repeats its first step, and takes four calls
    for each of its first three when its Runge-Kutta start is on.
    """
    timesteps = scheduler.timesteps[begin:]
    calls = len(timesteps)
    if len(scheduler.timesteps) - 1 == steps and float(scheduler.timesteps[-1]) == 0:
        return list(range(calls - 1))
    if getattr(scheduler, "order", 1) == 2:
        return [min(call, calls - 1) for call in range(1, calls + 1, 2)]
    if hasattr(scheduler, "prk_timesteps"):
        start = len(scheduler.prk_timesteps)
        repeated = calls > 1 and timesteps[0] == timesteps[1]
        first = [1] if repeated or not begin else [0]
        warmup = [4 * (k + 1) - 1 for k in range(start // 4)] if start else first
        return [*warmup, *range(warmup[-1] + 1, calls)] if calls > warmup[-1] else [calls - 1]
    return list(range(calls))


def step_notes(scheduler: Any, sampler: str, spacing: str, steps: int) -> tuple[str, ...]:
    """The advice that a run of so few steps went against, with what "default" came to; empty for a run of enough."""
    column = spacing_of(scheduler.config) if spacing == DEFAULT else spacing
    return (advice(sampler, column),) if steps < good_from(sampler, column) else ()


def _for_class(config: Mapping[str, Any], scheduler_class: Any) -> dict[str, Any]:
    """The model's config as the class is to read it.

    Two things would go wrong unsaid: DDIM, DDPM and their kin clip x0 to -1..1 unless told not to, which ruins latents
    of a model whose own scheduler has no such setting; and the shift of a flow model has another name elsewhere.
    """
    own = dict(config)
    own.setdefault("clip_sample", False)
    if "shift" in own and "flow_shift" in _parameters(scheduler_class):
        own["flow_shift"] = own["shift"]
    return own


def _parameters(scheduler_class: Any) -> frozenset[str]:
    return frozenset(inspect.signature(scheduler_class.__init__).parameters)


@functools.cache
def _adapted(scheduler_class: Any) -> Any:
    """A subclass of the same name with what is ours mixed in: pipelines look at schedulers' classes and signatures."""

    @functools.wraps(scheduler_class.set_timesteps)
    def set_timesteps(self: Any, num_inference_steps: int | None = None, device: Any = None, **rest: Any) -> None:
        """Uses the timesteps of `grid`, if there is one, whichever pipeline calls it."""
        plain = scheduler_class.set_timesteps
        if self.grid is None or num_inference_steps is None or rest:
            plain(self, num_inference_steps, device=device, **rest)
        else:
            plain(self, device=device, timesteps=self.grid(self, num_inference_steps))

    own = {"grid": None, "set_timesteps": set_timesteps, "__module__": scheduler_class.__module__}
    if not hasattr(scheduler_class, "scale_model_input"):  # a pipeline may ask all but the very class that has none
        own["scale_model_input"] = lambda self, sample, *rest: sample
    mixed = (Beginning, scheduler_class) if hasattr(scheduler_class, "index_for_timestep") else (scheduler_class,)
    return type(scheduler_class.__name__, mixed, own)


def _sgm_uniform(scheduler: Any, steps: int, family: str | None) -> list[int]:
    """linspace(T-1, 0, steps + 1) without its last (generative-models, LegacyDDPMDiscretization)."""
    last = scheduler.config.num_train_timesteps - 1
    return [int(t) for t in np.linspace(last, 0, steps + 1)[:-1].round()]


def _align_your_steps(scheduler: Any, steps: int, family: str | None) -> list[int]:
    """The published ten levels, log-linearly interpolated in sigma to `steps` (as its authors' example does)."""
    if family not in AYS_TIMESTEPS:
        raise InvalidRequest(
            f"Align-your-steps is known for {', '.join(AYS_TIMESTEPS)}, not for {family}.", field="spacing"
        )
    sigmas = training_sigmas(scheduler)
    if len(sigmas) != 1000:
        raise InvalidRequest("Align-your-steps needs a model trained with 1000 timesteps.", field="spacing")
    grid = np.arange(len(sigmas))
    known = np.log(np.interp(AYS_TIMESTEPS[family], grid, sigmas))
    wanted = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(known)), known)
    timesteps = np.interp(wanted, np.log(sigmas), grid).round().astype(int)
    return _strictly_falling(timesteps)


def _strictly_falling(timesteps: np.ndarray) -> list[int]:
    """Rounding may repeat a timestep at many steps; a repeated one would be an empty step that some solvers divide by."""
    out: list[int] = []
    for remaining, t in zip(range(len(timesteps) - 1, -1, -1), timesteps, strict=True):
        ceiling = out[-1] - 1 if out else int(t)
        out.append(max(min(int(t), ceiling), remaining))
    return out


_TIMESTEPS: dict[str, Callable[..., list[int]]] = {"sgm_uniform": _sgm_uniform, "ays": _align_your_steps}


def training_sigmas(scheduler: Any) -> np.ndarray:
    """sigma(t) = sqrt((1 - alpha_bar) / alpha_bar) over the training timesteps, rising."""
    alpha_bar = scheduler.alphas_cumprod.double().numpy()
    return np.sqrt((1 - alpha_bar) / np.maximum(alpha_bar, 1e-12))


def _rehearse(scheduler: Any, sampler: str, steps: int) -> None:
    """Find out now, and not in the middle of a run, that the class cannot lay out this many steps."""
    check_steps(sampler, steps, runge_kutta=not scheduler.config.get("skip_prk_steps", False))
    if sampler != OWN and not scheduler.config.get("use_dynamic_shifting"):  # then only the pipeline knows how
        scheduler.set_timesteps(steps)


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text if text.endswith(".") else text + "."
