"""A race as it is planned: what runs within so many evaluations, what is refused, and the sentence that it ends with."""

from typing import Any

import pytest

from studio.core.errors import InvalidRequest
from studio.core.models import Capabilities, Defaults, ModelInfo
from studio.core.race import LegResult, Results, best_within, lanes_of, parse_race, verdicts
from studio.core.race_plan import Plan, plan
from studio.core.samplers import evaluations_of, steps_within

MODEL = ModelInfo(id="a/model", title="Model", kind="diffusers", family="sd1", defaults=Defaults(width=64, height=64))


def planned(model: ModelInfo = MODEL, **values: Any) -> Plan:
    request = {"model": MODEL.id, "prompt": "a hat"} | values.pop("request", {})
    return plan(parse_race({"request": request} | values), model, [model])


def test_a_budget_counts_evaluations_and_not_steps() -> None:
    asked = planned(lanes=lanes_of(["heun", "euler"], ["karras"]), evaluations=[8, 4])
    assert [(leg.lane, leg.budget, leg.request.steps, leg.evaluations) for leg in asked.legs] == [
        (0, 4, 2, 3),
        (1, 4, 4, 4),
        (0, 8, 4, 7),
        (1, 8, 8, 8),
    ]
    assert len({(leg.request.seed, leg.request.width, leg.request.prompt) for leg in asked.legs}) == 1
    assert asked.reference is not None and asked.reference.steps == 1000
    assert asked.evaluations == 22 + asked.reference_evaluations == 1022


def test_of_a_large_model_the_reference_has_fewer_steps_unless_they_are_given() -> None:
    large = MODEL.model_copy(update={"bytes": 2 * 2**30})
    assert (planned(large).race.reference_steps, planned(large, reference_steps=7).race.reference_steps) == (250, 7)


def test_samplers_that_add_noise_alone_need_no_reference() -> None:
    assert planned(lanes=lanes_of(["euler_a", "ddpm"], [])).reference is None


def test_pndm_runs_from_where_its_first_evaluations_fit() -> None:
    model = MODEL.model_copy(update={"capabilities": Capabilities(runge_kutta=True)})
    asked = planned(model, lanes=lanes_of(["pndm"], []), evaluations=[4, 16])
    assert [(leg.budget, leg.request.steps) for leg in asked.legs] == [(16, 7)]
    with pytest.raises(InvalidRequest, match="PNDM needs at least 13 evaluations on Model"):
        planned(model, lanes=lanes_of(["pndm"], []), evaluations=[4])


@pytest.mark.parametrize("sampler", ["heun", "pndm", "dpmpp_2m", "lcm"])
def test_steps_within_a_budget_are_the_most_that_fit(sampler: str) -> None:
    for budget in range(1, 60):
        steps = steps_within(sampler, budget)
        assert evaluations_of(sampler, steps) <= budget < evaluations_of(sampler, steps + 1) or steps == 50


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"lanes": lanes_of(["eulr"], [])}, "lanes", "Did you mean euler"),
        ({"lanes": lanes_of(["ddim"], ["karras"])}, "lanes", "Spacing karras does not go with sampler ddim on Model"),
        ({"lanes": lanes_of(["flow_euler"], [])}, "lanes", "does not work with Model"),
        ({"lanes": lanes_of(["dpm_adaptive"], [])}, "lanes", "decides itself"),
        ({"evaluations": [0]}, "evaluations", "from 1 to 250; got 0."),
        ({"evaluations": []}, "evaluations", "none were given"),
        ({"evaluations": ["some"]}, "evaluations", "whole numbers"),
        ({"reference_steps": 0}, "reference_steps", "from 1 to 1000; got 0."),
        ({"speed": 1}, "speed", "no setting 'speed'"),
        ({"request": {"steps": "many"}}, "steps", "Steps must be"),
        ({"request": {"task": {"kind": "image_to_image", "image": "0" * 64}}}, "task", "leave the picture out"),
    ],
)
def test_what_cannot_race_is_refused_in_a_sentence(values: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned(**values)
    assert refused.value.field == field and words in str(refused.value)


def test_the_verdict_names_the_smallest_error_within_each_budget() -> None:
    race = planned(lanes=lanes_of(["heun", "euler", "euler_a"], []), evaluations=[4, 8]).race
    errors = [(0, 4, 3, 1.5), (1, 4, 4, 0.2), (2, 4, 4, None), (0, 8, 7, 0.0123), (1, 8, 8, 0.05)]
    legs = tuple(
        LegResult(lane=lane, budget=b, steps=n, evaluations=n, seconds=1, picture="", error=error)
        for lane, b, n, error in errors
    )
    assert [leg.lane for leg in best_within(Results(legs=legs), 8)] == [0, 1]
    said = verdicts(race, "Model", Results(legs=legs))
    assert said["4"].startswith("Within 4 evaluations, Euler with 4 steps comes closest") and "20 % off" in said["4"]
    assert said["8"].endswith("1.2 % off. Next is Euler with 5 %.")
