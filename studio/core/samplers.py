"""The sampler table, solver x spacing, and its rules: which step counts a pair can make, from how many it is good, and which
row a model's own scheduler is. Which pairs a model may use is said by `options.py`; imports no torch.
"""

from collections.abc import Mapping
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.registry import Registry
from studio.core.solvers import OWN, SOLVER_ROWS, Solver
from studio.core.spacings import SPACING_ROWS, Spacing

RUNGE_KUTTA_STEPS = 3  # that such a solver begins with; one more must follow

SOLVERS: Registry[Solver] = Registry("sampler")
SPACINGS: Registry[Spacing] = Registry("spacing")


def good_from(sampler: str, spacing: str, own: str = "") -> int:
    """Fewest steps from which the pair leaves neither noise nor a grey picture, as measured; fewer run all the same.

    `own` is the spacing that the model's configuration names, for "default".
    """
    solver = SOLVERS.get(sampler, field="sampler")
    if spacing == "default":
        return solver.own_good_from.get(own) or solver.own_good_from.get("", 1)
    return solver.good_from.get(spacing, 1)


def advice(sampler: str, spacing: str, own: str = "") -> str:
    """The advice against fewer steps than `good_from`: one sentence for a person."""
    solver = SOLVERS.get(sampler, field="sampler")
    column = SPACINGS.get(own if spacing == "default" and own in SPACINGS else spacing, field="spacing")
    return (
        f"Below {good_from(sampler, spacing, own)} steps, {solver.title} with {column.title} spacing leaves noise or "
        "grey in the picture."
    )


def least_steps(sampler: str, runge_kutta: bool) -> int:
    """Fewest steps that the solver can make; `runge_kutta`: the model's configuration lets it begin with such steps."""
    begins = runge_kutta and SOLVERS.get(sampler, field="sampler").runge_kutta
    return RUNGE_KUTTA_STEPS + 1 if begins else 1


def check_steps(sampler: str, steps: int, runge_kutta: bool = False) -> None:
    """Raises InvalidRequest for more steps than the solver can make, or fewer (see `least_steps`)."""
    solver, least = SOLVERS.get(sampler, field="sampler"), least_steps(sampler, runge_kutta)
    if steps > solver.max_steps:
        raise InvalidRequest(f"Sampler {sampler} takes at most {solver.max_steps} steps.", field="steps")
    if steps < least:
        raise InvalidRequest(needs(sampler, least), field="steps")


def evaluations_of(sampler: str, steps: int, runge_kutta: bool = False) -> int:
    """How many times the denoiser is evaluated in a run of so many steps (classifier-free guidance not counted twice). An
    adaptive sampler decides that itself; 0 for such."""
    solver = SOLVERS.get(sampler, field="sampler")
    if solver.adaptive:
        return 0
    if solver.runge_kutta and runge_kutta:
        return steps + 3 * RUNGE_KUTTA_STEPS  # four evaluations for each of these
    if solver.runge_kutta:
        return steps + 1 if steps > 1 else 1  # PNDM repeats its first step
    return 2 * steps - 1 if solver.evaluations == 2 else steps  # the last step goes to zero, which takes one


def steps_within(sampler: str, evaluations: int, runge_kutta: bool = False) -> int:
    """The most steps that need no more than so many evaluations; 0 where not even the fewest do."""
    least, most = least_steps(sampler, runge_kutta), SOLVERS.get(sampler, field="sampler").max_steps
    fitting = [
        steps
        for steps in range(least, min(evaluations, most) + 1)
        if evaluations_of(sampler, steps, runge_kutta) <= evaluations
    ]
    return fitting[-1] if fitting else 0


def needs(sampler: str, least: int) -> str:
    return (
        f"Sampler {sampler} needs at least {least} steps with this model, whose configuration has it begin with "
        f"{RUNGE_KUTTA_STEPS} Runge-Kutta steps."
    )


def sampler_of(scheduler_class: str, config: Mapping[str, Any], prediction: str, family: str | None) -> str:
    """The row that a model's own scheduler is; OWN if none is, for a model of this prediction and family."""
    return next(
        (
            name
            for name, solver in SOLVERS.items()
            if solver.scheduler == scheduler_class
            and prediction in solver.predictions
            and (solver.families is None or family in solver.families)
            and all(config.get(key, value) == value for key, value in solver.overrides.items())
        ),
        OWN,
    )


def stands_for(scheduler_class: str) -> bool:
    """Whether schedulers of this class and the table's can take each other's place."""
    return any(solver.scheduler == scheduler_class for _, solver in SOLVERS.items())


CORRECTED = (0, 2)  # version of the studio from which named spacings, and these samplers, are what their names say
_CORRECTED_SAMPLERS = frozenset({"dpmpp_3m_sde", "flow_unipc", "flow_dpmpp_2m"})


def corrected_since(sampler: str, spacing: str, version: str) -> str | None:
    """What a picture of that version of the studio has other pixels for, as far as its sampler goes: one sentence."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) < 2 or numbers >= CORRECTED or (spacing == "default" and sampler not in _CORRECTED_SAMPLERS):
        return None
    return f"sampler: {sampler} with spacing {spacing} was corrected in version {'.'.join(map(str, CORRECTED))}"


def spacing_of(config: Mapping[str, Any]) -> str:
    """The table's name for the spacing that a scheduler's configuration amounts to; empty where it says nothing."""
    flags = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
    named = next((name for name, flag in flags.items() if config.get(flag)), None)
    return named or str(config.get("timestep_spacing") or "")


def _fill() -> None:
    for solver in SOLVER_ROWS:
        SOLVERS.add(solver.name, solver)
    for spacing in SPACING_ROWS:
        SPACINGS.add(spacing.name, spacing)


_fill()
