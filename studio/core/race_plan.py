"""A race with everything settled: a run for each sampler and number of evaluations, and the reference run.

Checks what a person asked for against the model. Loads nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.options import legal_samplers, legal_spacings, resolve
from studio.core.race import (
    MALFORMED,
    MOST_BUDGETS,
    MOST_EVALUATIONS,
    MOST_LANES,
    MOST_REFERENCE,
    Lane,
    Race,
    is_stochastic,
    title_of,
)
from studio.core.request import DEFAULT, RANDOM_SEED, GenerationRequest
from studio.core.samplers import SOLVERS, evaluations_of, least_steps, steps_within
from studio.core.tasks import TextToImage

# What a race has unless a person chooses: the first few that the model may use.
USUAL = ("dpmpp_2m", "unipc", "euler", "heun", "flow_dpmpp_2m", "flow_unipc", "flow_euler", "flow_heun", "ddim", "deis")
USUAL_LANES = 4
# The reference's sampler: of second order, so that its own error is far below any other's.
REFERENCES = ("dpmpp_2m", "heun", "flow_dpmpp_2m", "flow_heun", "flow_unipc", "flow_euler", "euler", "ddim")
REFERENCE_SPACINGS = ("karras", DEFAULT)
STEPS_BY_SIZE = ((256 * 2**20, 1000), (3 * 2**30, 250))  # (bytes of the model at most, steps); above: the last
FEWEST_REFERENCE_STEPS = 100


@dataclass(frozen=True)
class Leg:
    """One run of a lane: as many steps as fit into `budget` evaluations."""

    lane: int
    budget: int
    evaluations: int  # that it takes
    request: GenerationRequest

    @property
    def picture(self) -> str:
        """Its name among the race's pictures."""
        return f"{self.lane}-{self.budget}"


@dataclass(frozen=True)
class Plan:
    """A race with everything settled. Small budgets come first, so that there is something to see soon."""

    race: Race
    legs: tuple[Leg, ...]
    reference: GenerationRequest | None
    reference_evaluations: int

    @property
    def evaluations(self) -> int:
        return sum(leg.evaluations for leg in self.legs) + self.reference_evaluations


def base_of(race: Race) -> GenerationRequest:
    """What is drawn, with nothing said of sampler, spacing and steps. A seed that is not given is 0, and not a new one each
    time, so that a reference can be used again."""
    request = race.request
    if request.task.kind != TextToImage().kind:
        raise InvalidRequest("A race starts from a prompt alone; leave the picture out.", field="task")
    given = {name: getattr(request, name) for name in request.model_fields_set - {"sampler", "spacing", "steps"}}
    seed = 0 if request.seed == RANDOM_SEED else request.seed
    return GenerationRequest(**(given | {"seed": seed, "count": 1, "batch_size": 1, "previews": False}))


def plan(race: Race, model: ModelInfo, models: Sequence[ModelInfo] = ()) -> Plan:
    """The race on that model; raises InvalidRequest, at "lanes", "evaluations" or a field of the request."""
    budgets = _budgets(race.evaluations)
    base = resolve(base_of(race), model, models)
    lanes = _lanes(race.lanes or usual_lanes(model), model)
    legs = [leg for number, lane in enumerate(lanes) for leg in _legs(number, lane, budgets, base, model, models)]
    reference = None if all(is_stochastic(lane.sampler) for lane in lanes) else _reference(race, base, model, models)
    settled = race.model_copy(
        update={
            "request": base,
            "lanes": lanes,
            "evaluations": budgets,
            "reference_steps": reference.steps if reference else race.reference_steps,
        }
    )
    taken = evaluations_of(reference.sampler, reference.steps) if reference else 0
    return Plan(settled, tuple(sorted(legs, key=lambda leg: (leg.budget, leg.lane))), reference, taken)


def usual_lanes(model: ModelInfo) -> tuple[Lane, ...]:
    legal = legal_samplers(model)
    known = [name for name in USUAL if name in legal] or [n for n in legal if not SOLVERS.get(n).adaptive]
    return tuple(Lane(sampler=name) for name in known[:USUAL_LANES])


def _budgets(evaluations: tuple[int, ...]) -> tuple[int, ...]:
    wrong = next((n for n in evaluations if not 1 <= n <= MOST_EVALUATIONS), None)
    if wrong is not None or not evaluations:
        got = "none were given" if wrong is None else f"got {wrong}"
        raise InvalidRequest(f"{MALFORMED['evaluations'][:-1]}; {got}.", field="evaluations")
    found = tuple(sorted(set(evaluations)))
    if len(found) > MOST_BUDGETS:
        raise InvalidRequest(f"At most {MOST_BUDGETS} numbers of evaluations can be compared.", field="evaluations")
    return found


def _lanes(lanes: tuple[Lane, ...], model: ModelInfo) -> tuple[Lane, ...]:
    found = tuple(dict.fromkeys(lanes))
    if len(found) > MOST_LANES:
        raise InvalidRequest(f"At most {MOST_LANES} samplers can race.", field="lanes")
    for lane in found:
        if SOLVERS.get(lane.sampler, field="lanes").adaptive:
            raise InvalidRequest(
                f"{SOLVERS.get(lane.sampler).title} decides itself how many evaluations it makes, so it cannot be held to a number.",
                field="lanes",
            )
    return found


def _legs(
    number: int,
    lane: Lane,
    budgets: tuple[int, ...],
    base: GenerationRequest,
    model: ModelInfo,
    models: Sequence[ModelInfo],
) -> list[Leg]:
    """One leg for each budget that gives the lane a number of steps of its own."""
    able, legs, done = model.capabilities, list[Leg](), 0
    for budget in budgets:
        steps = steps_within(lane.sampler, budget, able.runge_kutta)
        if steps < max(able.fewest_steps, done + 1):
            continue
        done = steps
        request = _with(base, lane.sampler, lane.spacing, steps, model, models)
        legs.append(Leg(number, budget, evaluations_of(lane.sampler, steps, able.runge_kutta), request))
    if not legs:
        least = max(least_steps(lane.sampler, able.runge_kutta), able.fewest_steps)
        _with(base, lane.sampler, lane.spacing, least, model, models)  # what else is wrong with it is said first
        needed = evaluations_of(lane.sampler, least, able.runge_kutta)
        raise InvalidRequest(
            f"{title_of(lane)} needs at least {needed} evaluations on {model.title}.", field="evaluations"
        )
    return legs


def _with(
    base: GenerationRequest, sampler: str, spacing: str, steps: int, model: ModelInfo, models: Sequence[ModelInfo]
) -> GenerationRequest:
    """Raises InvalidRequest at "lanes" for a sampler or spacing that the model cannot have."""
    try:
        return resolve(base.changed(sampler=sampler, spacing=spacing, steps=steps), model, models)
    except InvalidRequest as error:
        if error.field in ("sampler", "spacing"):
            error.field = "lanes"
        raise


def own_reference_steps(model: ModelInfo) -> int | None:
    """Steps of a reference unless a person says otherwise; None where no sampler can make one."""
    if not any(name in REFERENCES for name in legal_samplers(model)):
        return None
    return next((steps for size, steps in STEPS_BY_SIZE if model.bytes <= size), FEWEST_REFERENCE_STEPS)


def _reference(
    race: Race, base: GenerationRequest, model: ModelInfo, models: Sequence[ModelInfo]
) -> GenerationRequest | None:
    own, legal = own_reference_steps(model), legal_samplers(model)
    if own is None:
        return None
    sampler = next(name for name in REFERENCES if name in legal)
    spacing = next(name for name in REFERENCE_SPACINGS if name in legal_spacings(model, sampler))
    steps = race.reference_steps if race.reference_steps is not None else own
    if not 1 <= steps <= MOST_REFERENCE:
        raise InvalidRequest(f"{MALFORMED['reference_steps'][:-1]}; got {steps}.", field="reference_steps")
    return _with(base, sampler, spacing, steps, model, models)
