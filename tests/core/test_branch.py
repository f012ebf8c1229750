"""The request of a branch, and the traces that it goes with; all pure."""

import json
from typing import Any

import pytest

from studio.core.branching import branch_of
from studio.core.errors import InvalidRequest
from studio.core.options import check_traces
from studio.core.parts.branch import history_of
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.traces import TraceInfo, info_in, metadata_of

PIXELS = "ab" * 32


def recipe(**values: Any) -> Recipe:
    given = {"model": "m", "prompt": "a {cat|dog}", "sampler": "euler_a", "steps": 9, "seed": 5, "count": 3}
    request = GenerationRequest(**(given | {"width": 64, "height": 64} | values))
    return Recipe(
        request=request, prompt="a dog", negative_prompt="", index=2, seed=7, model="m", model_title="M", family="f",
        pipeline="P", scheduler="S", weights={}, dtype="fp32", device="cpu", libraries={}, pixels=PIXELS,
    )  # fmt: skip


def trace(**values: Any) -> TraceInfo:
    return TraceInfo(
        **({"recipe": recipe(), "prediction": "epsilon", "steps": 9, "calls": 9, "rows": (2,) * 9} | values)
    )


def test_a_branch_is_of_the_one_image_and_changes_what_is_given() -> None:
    branch = branch_of(recipe(), 4, {"prompt": "a fox", "seed": 3, "sampler": None})
    assert (branch.prompt, branch.seed, branch.count, branch.sampler) == ("a fox", 7, 1, "euler_a")
    assert branch.parts[0].model_dump() == {"kind": "branch", "image": PIXELS, "step": 4, "seed": 3}
    assert branch.parent == PIXELS
    unchanged = branch_of(recipe(parts=branch.parts, count=1), 5, {})
    assert unchanged.prompt == "a dog" and [part.model_dump()["step"] for part in unchanged.parts] == [5]
    for changes, sentence in (
        ({"steps": 4}, "cannot change 'steps'"),
        ({"guidance_scale": 900}, "50"),
        ({"seed": -2}, "0"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            branch_of(recipe(), 4, changes)


def test_what_decides_the_first_steps_has_to_be_as_it_was() -> None:
    branch = branch_of(recipe(), 4, {})
    check_traces(branch, lambda pixels: trace())
    wrong = (
        ({"steps": 8}, "number of steps"),
        ({"height": 72}, "height"),
        ({"model": "n"}, "model"),
        ({"seed": 1}, "seed 7"),
    )
    for changes, sentence in wrong:
        with pytest.raises(InvalidRequest, match=sentence) as raised:
            check_traces(branch.changed(**changes), lambda pixels: trace())
        assert raised.value.field == "parts.0.image"
    with pytest.raises(InvalidRequest, match="9 steps") as raised:
        check_traces(branch_of(recipe(), 9, {}), lambda pixels: trace())
    assert raised.value.field == "parts.0.step"


@pytest.mark.parametrize(
    ("step", "changes", "resumed", "reseeded"),
    [
        (5, {}, 3, ((3, 8),)),
        (2, {}, 2, ()),
        (6, {"seed": 1}, 3, ((3, 8), (6, 1))),
        (6, {"sampler": "ddpm"}, 6, ((3, 8),)),
    ],
)
def test_a_branch_of_a_branch_repeats_its_parents_history(
    step: int, changes: dict[str, Any], resumed: int, reseeded: tuple[tuple[int, int], ...]
) -> None:
    parent = trace(resumed=3, reseeded=((3, 8),))
    assert history_of(branch_of(recipe(), step, changes), lambda pixels: parent) == (resumed, reseeded)


def test_metadata_is_read_back_or_refused_in_a_sentence() -> None:
    written = metadata_of(trace())
    assert info_in(written) == trace()
    broken = json.dumps(json.loads(written["trace"]) | {"rows": [2, 2]})
    for metadata, sentence in (
        ({}, "not a trace"),
        (written | {"version": "2"}, "version 2"),
        (written | {"trace": "{"}, "damaged"),
        (written | {"trace": broken}, "contradicts"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            info_in(metadata)
