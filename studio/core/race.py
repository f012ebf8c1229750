"""The sampler race as plain values: which samplers run, within how many evaluations of the denoiser, and what came of it.

All start from one noise. What the deterministic ones approximate is one solution of the probability-flow ODE (Song et al.
2021, section 4.3), which a reference run of many steps stands in for. Loads nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import InvalidRequest
from studio.core.fields import Integer, Name
from studio.core.jobs import State
from studio.core.models import ModelInfo
from studio.core.options import legal_samplers, legal_spacings, resolve
from studio.core.request import DEFAULT, RANDOM_SEED, GenerationRequest, parse_request
from studio.core.samplers import OWN, SOLVERS, SPACINGS, evaluations_of, least_steps, steps_within
from studio.core.tasks import TextToImage

KIND = "race"  # of jobs, before the dash in their ids
BUDGETS = (4, 8, 16, 32)
MOST_LANES, MOST_BUDGETS, MOST_EVALUATIONS = 12, 8, 250
MOST_REFERENCE = 1000
# What a race has unless a person chooses: the first few that the model may use.
USUAL = ("dpmpp_2m", "unipc", "euler", "heun", "flow_dpmpp_2m", "flow_unipc", "flow_euler", "flow_heun", "ddim", "deis")
USUAL_LANES = 4
# The reference's sampler: of second order, so that its own error is far below any other's.
REFERENCES = ("dpmpp_2m", "heun", "flow_dpmpp_2m", "flow_heun", "flow_unipc", "flow_euler", "euler", "ddim")
REFERENCE_SPACINGS = ("karras", DEFAULT)
STEPS_BY_SIZE = ((256 * 2**20, 1000), (3 * 2**30, 250))  # (bytes of the model at most, steps); above: the last
FEWEST_REFERENCE_STEPS = 100

NO_REFERENCE = (
    "Samplers that add noise at each step follow no single path, so no error can be measured: compare the pictures."
)
NO_SOLVER = "No deterministic sampler works with this model, so there is no reference solution: compare the pictures."


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Lane(_Value):
    """A sampler with a spacing."""

    sampler: Name
    spacing: Name = DEFAULT


class Race(_Value):
    """`request` is what is drawn, whatever its own sampler, spacing, steps and count say."""

    request: GenerationRequest
    lanes: tuple[Lane, ...] = ()  # none: the usual ones of the model
    evaluations: tuple[Integer, ...] = BUDGETS
    reference_steps: Integer | None = None  # None: by the model's size


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


class Estimate(_Value):
    """What a race would take. `seconds` is None while the model's pace is not known."""

    evaluations: int  # of all lanes together
    reference_evaluations: int
    reference_steps: int
    reference_kept: bool  # it was computed before and need not be again
    seconds: float | None
    lanes: tuple[Lane, ...]


class LegResult(_Value):
    """`error` is the root mean square of the difference from the reference's latents, over that of these; `picture_error` that
    of the pictures, in levels of 255. Both are None until there is a reference, and for samplers that add noise."""

    lane: int
    budget: int
    steps: int
    evaluations: int  # as counted
    seconds: float
    picture: str  # its name among the race's pictures
    error: float | None = None
    picture_error: float | None = None
    note: str = ""


class ReferenceResult(_Value):
    sampler: str
    spacing: str
    title: str  # of both
    steps: int
    evaluations: int
    kept: bool  # from an earlier race


class Results(_Value):
    legs: tuple[LegResult, ...] = ()
    reference: ReferenceResult | None = None
    seconds_per_evaluation: float | None = None
    complete: bool = False


class LaneView(_Value):
    sampler: str
    spacing: str
    title: str
    stochastic: bool


class LegView(_Value):
    """A leg as it is planned, by the name of its picture."""

    picture: str
    lane: int
    budget: int
    steps: int
    evaluations: int


class RaceView(_Value):
    """One race at one moment. `verdicts`: budget -> the sentence that names the best sampler within it."""

    id: str
    state: State
    message: str = ""  # why it failed
    created: float
    model: str  # title
    race: Race
    lanes: tuple[LaneView, ...]
    legs: tuple[LegView, ...]  # as planned
    results: Results
    planned: int  # evaluations in all, the reference's among them
    note: str = ""  # on what has no error
    verdicts: dict[str, str] = {}


class Races(Protocol):
    """The studio's sampler races. Every method raises StudioError with one sentence for a person."""

    def start(self, race: Race) -> str:
        """Check and queue; the id, which is its job's too."""

    def estimate(self, race: Race) -> Estimate: ...

    def all(self) -> list[RaceView]:
        """Newest first."""

    def get(self, race: str) -> RaceView: ...

    def picture(self, race: str, name: str) -> Path:
        """The PNG of that name: a leg's, or "reference"."""

    def delete(self, race: str) -> None: ...


def parse_race(values: dict[str, Any]) -> Race:
    """From untrusted values; raises InvalidRequest with one sentence."""
    request = values.get("request")
    if not isinstance(request, dict):
        raise InvalidRequest("A race needs a request: what is to be drawn.", field="request")
    try:
        return Race(**(values | {"request": parse_request(request)}))
    except ValidationError as error:
        where = str(error.errors()[0]["loc"][0])
        raise InvalidRequest(_MALFORMED.get(where, f"A race has no setting {where[:40]!r}."), field=where) from None


_MALFORMED = {
    "lanes": "Each lane must name a sampler, and may name a spacing.",
    "evaluations": f"Evaluations must be whole numbers from 1 to {MOST_EVALUATIONS}.",
    "reference_steps": f"Reference steps must be a whole number from 1 to {MOST_REFERENCE}.",
}


def lanes_of(samplers: Sequence[str], spacings: Sequence[str]) -> tuple[Lane, ...]:
    """Each sampler with each spacing."""
    return tuple(Lane(sampler=sampler, spacing=spacing) for sampler in samplers for spacing in spacings or (DEFAULT,))


def is_stochastic(sampler: str) -> bool:
    """Whether no reference can be given for it: it draws noise, or nothing is known of it."""
    return SOLVERS.get(sampler, field="sampler").stochastic or sampler == OWN


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


def reference_file(request: GenerationRequest) -> str:
    """The name of the file that keeps its solution."""
    return f"{request.digest()}.safetensors"


def title_of(lane: Lane) -> str:
    """ "DPM++ 2M", or "DPM++ 2M Karras" """
    title = SOLVERS.get(lane.sampler).title
    return title if lane.spacing == DEFAULT else f"{title} {SPACINGS.get(lane.spacing).title}"


def best_within(results: Results, budget: int) -> list[LegResult]:
    """Each lane's best-fed leg within the budget that has an error, the smallest error first."""
    fitting: dict[int, LegResult] = {}
    for leg in sorted(results.legs, key=lambda leg: leg.evaluations):
        if leg.error is not None and leg.budget <= budget:
            fitting[leg.lane] = leg
    return sorted(fitting.values(), key=lambda leg: leg.error or 0.0)


def verdicts(race: Race, model: str, results: Results) -> dict[str, str]:
    return {str(b): _verdict(race, model, b, ranked) for b in race.evaluations if (ranked := best_within(results, b))}


def _verdict(race: Race, model: str, budget: int, ranked: list[LegResult]) -> str:
    first, *others = ranked
    steps = "1 step" if first.steps == 1 else f"{first.steps} steps"
    within = "1 evaluation" if budget == 1 else f"{budget} evaluations"
    sentence = (
        f"Within {within}, {title_of(race.lanes[first.lane])} with {steps} comes closest to the exact solution "
        f"on {model}: {_percent(first.error)} off."
    )
    return (
        f"{sentence} Next is {title_of(race.lanes[others[0].lane])} with {_percent(others[0].error)}."
        if others
        else sentence
    )


def _percent(error: float | None) -> str:
    return f"{100 * (error or 0.0):.2g} %" if (error or 0.0) < 0.995 else f"{100 * (error or 0.0):.0f} %"


def _budgets(evaluations: tuple[int, ...]) -> tuple[int, ...]:
    wrong = next((n for n in evaluations if not 1 <= n <= MOST_EVALUATIONS), None)
    if wrong is not None or not evaluations:
        got = "none were given" if wrong is None else f"got {wrong}"
        raise InvalidRequest(f"{_MALFORMED['evaluations'][:-1]}; {got}.", field="evaluations")
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
        raise InvalidRequest(f"{_MALFORMED['reference_steps'][:-1]}; got {steps}.", field="reference_steps")
    return _with(base, sampler, spacing, steps, model, models)
