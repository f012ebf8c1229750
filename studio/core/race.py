"""The sampler race as plain values: which samplers run, within how many evaluations of the denoiser, and what came of it.

All start from one noise. What the deterministic ones approximate is one solution of the probability-flow ODE (Song et al.
2021, section 4.3), which a reference run of many steps stands in for. Loads nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import InvalidRequest
from studio.core.fields import Integer, Name
from studio.core.jobs import State
from studio.core.request import DEFAULT, GenerationRequest, parse_request
from studio.core.samplers import SOLVERS, SPACINGS
from studio.core.solvers import OWN

KIND = "race"  # of jobs, before the dash in their ids
BUDGETS = (4, 8, 16, 32)
MOST_LANES, MOST_BUDGETS, MOST_EVALUATIONS = 12, 8, 250
MOST_REFERENCE = 1000

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
        raise InvalidRequest(MALFORMED.get(where, f"A race has no setting {where[:40]!r}."), field=where) from None


MALFORMED = {
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
