"""From a row of the sampler table to a diffusers scheduler that is ready to be handed to a pipeline.

Knows scheduler classes by what they accept (their signatures), never by a list of its own; which pairs are legal is
the table's business (`core.samplers`), which model may use them `core.options`'.
"""

import copy
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.request import DEFAULT
from studio.core.samplers import SOLVERS, SPACINGS, advice, check_steps, good_from, spacing_of
from studio.core.solvers import OWN
from studio.engine.schedulers.gridded import TAKES_GRID, adapted

KEPT_TEMPLATES = 16
_TEMPLATES: dict[tuple[Any, str], Any] = {}  # schedulers as configured, never run

# Scheduler class -> module of engine.schedulers: diffusers' classes with a correction, and those that it lacks.
OURS = {
    "DDIMScheduler": "ddim",
    "DEISMultistepScheduler": "deis",
    "DPMSolver2SAncestralScheduler": "dpmpp_2s_a",
    "DPMSolverAdaptiveScheduler": "dpm_adaptive",
    "DPMSolverFastScheduler": "dpm_fast",
    "DPMSolverMultistepScheduler": "dpmpp_multistep",
    "EulerAncestralDiscreteScheduler": "ancestral",
    "LMSDiscreteScheduler": "lms",
    "PNDMScheduler": "pndm",
    "SASolverScheduler": "sa_solver",
}


def build_scheduler(
    config: Mapping[str, Any],  # the model's own scheduler config
    sampler: str,  # a row of the table
    spacing: str,  # a column of the table
    steps: int,
    family: str | None = None,
    own: Any = None,  # the class of the model's own scheduler, for the sampler of that name
    rounded: bool = False,  # whether the model's pipeline needs whole timesteps
) -> Any:
    """A fresh scheduler. Raises InvalidRequest if the class cannot make this many steps, or cannot serve the model."""
    if sampler == OWN and own is not None:
        most = config.get("num_train_timesteps")
        if most is not None and steps > most:
            raise InvalidRequest(f"This model's own scheduler makes at most {most} steps.", field="steps")
        return _fresh(own, dict(config))  # as it is: its class may do everything in its own way
    solver, column = SOLVERS.get(sampler, field="sampler"), SPACINGS.get(spacing, field="spacing")
    scheduler_class = scheduler_class_of(sampler)
    known = _for_class(config, scheduler_class)
    wanted = solver.overrides if spacing == DEFAULT else TAKES_GRID | column.overrides | solver.overrides
    overrides = {k: v for k, v in wanted.items() if k in _parameters(scheduler_class)}
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in _parameters(scheduler_class):
        raise InvalidRequest(
            f"Sampler {sampler} cannot start from zero signal, which this model was trained for. "
            "Choose euler, ddim or dpmpp_2m.",
            field="sampler",
        )
    try:
        scheduler = _fresh(scheduler_class, known | overrides)
        scheduler.__class__ = adapted(scheduler_class)
        scheduler.spacing, scheduler.family = None if spacing == DEFAULT else spacing, family
        scheduler.rounded = rounded
        its_own = own is not None and issubclass(scheduler_class, own)  # and then to the last bit
        scheduler.unrounded = bool(scheduler.config.get("use_flow_sigmas")) and not its_own
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
    """What a recipe is to say of its steps: the advice that so few went against, and how many there were where the
    sampler decided that itself."""
    if SOLVERS.get(sampler).adaptive:
        return (f"{SOLVERS.get(sampler).title} made {scheduler.expected_steps} steps.",)
    own = spacing_of(scheduler.config)
    return (advice(sampler, spacing, own),) if steps < good_from(sampler, spacing, own) else ()


def _for_class(config: Mapping[str, Any], scheduler_class: Any) -> dict[str, Any]:
    """The model's config as the class is to read it.

    Two things would go wrong silently: DDIM, DDPM and others clip x0 to -1..1 by default, which ruins latents
    of a model whose own scheduler has no such setting; and the shift of a flow model has another name elsewhere.
    """
    own = dict(config)
    own.setdefault("clip_sample", False)
    if "shift" in own and "flow_shift" in _parameters(scheduler_class):
        own["flow_shift"] = own["shift"]
    return own


def _parameters(scheduler_class: Any) -> frozenset[str]:
    return frozenset(inspect.signature(scheduler_class.__init__).parameters)


def _rehearse(scheduler: Any, sampler: str, steps: int) -> None:
    """Find out now, and not in the middle of a run, that the class cannot lay out this many steps."""
    check_steps(sampler, steps, runge_kutta=not scheduler.config.get("skip_prk_steps", False))
    if sampler != OWN and not scheduler.config.get("use_dynamic_shifting"):  # then only the pipeline knows how
        scheduler.set_timesteps(steps)


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text if text.endswith(".") else text + "."
