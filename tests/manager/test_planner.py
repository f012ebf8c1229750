"""The planner's promises, on any numbers: never over the cap, never against the same stage, never out of room for nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.manager.memory.planner import (
    DoesNotFit,
    Part,
    Plan,
    Resident,
    Stage,
    cost_per_byte,
    greedy_dual_size,
    plan,
)

KEYS = st.sampled_from("abcdefgh")
SIZES = {key: 10 * (number + 1) for number, key in enumerate("abcdefgh")}  # one size a component, whoever names it
POLICIES = st.sampled_from([greedy_dual_size, lambda candidates: candidates[0], lambda candidates: candidates[-1]])


@st.composite
def stages(draw: st.DrawFn) -> list[Stage]:
    out = []
    for number in range(draw(st.integers(1, 4))):
        keys = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
        windows = [draw(st.one_of(st.none(), st.integers(1, 9))) for _ in keys]
        parts = tuple(Part(k, SIZES[k], w) for k, w in zip(keys, windows, strict=True))
        out.append(Stage(f"stage {number}", parts, draw(st.integers(0, 60))))
    return out


@st.composite
def residents(draw: st.DrawFn) -> list[Resident]:
    keys = draw(st.lists(KEYS, max_size=5, unique=True))
    return [
        Resident(k, SIZES[k], draw(st.booleans()), draw(st.floats(0, 9)), draw(st.floats(0, 9)), draw(st.floats(0, 9)))
        for k in keys
    ]


def replay(made: Plan, stages: list[Stage], residents: list[Resident], budget: int) -> None:
    """Carry the moves out, one by one, and hold each promise against what is then there."""
    there = {r.key: r.bytes for r in residents}
    pinned = {r.key for r in residents if r.pinned}
    for stage in stages:
        needed = {part.key for part in stage.parts}
        evicted = set()
        for move in made.of_stage(stage.name):
            if move.kind == "evict":
                assert move.key not in needed or move.reason == "to be streamed"
                assert move.key not in pinned
                assert there.pop(move.key) == move.bytes
                evicted.add(move.key)
            else:
                assert move.key not in there
                there[move.key] = move.bytes
        assert needed <= there.keys()
        assert sum(there.values()) + stage.activation <= budget
        assert made.peaks[stage.name] == sum(there.values()) + stage.activation


@given(stages(), residents(), st.integers(0, 500), st.frozensets(KEYS, max_size=4), POLICIES)
def test_a_plan_keeps_every_promise_or_says_that_there_is_none(stages, residents, budget, future, policy) -> None:  # type: ignore[no-untyped-def]
    try:
        made = plan(stages, residents, budget, future, policy)
    except DoesNotFit as error:
        assert "the memory budget is" in str(error)
        # It gives up only where the stage, streamed as far as can be, and the pinned do not fit together.
        pinned = {r.key: r.bytes for r in residents if r.pinned}
        least = [
            sum(min(p.bytes, p.window or p.bytes) if p.key not in pinned else 0 for p in s.parts)
            + sum(pinned.values())
            + s.activation
            for s in stages
        ]
        assert max(least) > budget
    else:
        replay(made, stages, residents, budget)


@given(stages(), residents(), POLICIES)
def test_nothing_moves_out_where_everything_fits(stages, residents, policy) -> None:  # type: ignore[no-untyped-def]
    made = plan(stages, residents, 10_000, frozenset(), policy)
    assert not [move for move in made.moves if move.kind != "load"]
    loads = [move.key for move in made.moves]
    assert len(loads) == len(set(loads))


def test_what_nobody_wants_again_goes_first() -> None:
    run = [Stage("encode", (Part("text", 40),)), Stage("denoise", (Part("unet", 60),))]
    there = [Resident("old", 30, last_use=9), Resident("next", 30, last_use=1)]
    made = plan(run, there, 100, future=frozenset({"next"}))
    assert [(m.kind, m.key) for m in made.moves] == [
        ("load", "text"),
        ("evict", "text"),
        ("evict", "old"),
        ("load", "unet"),
    ] or [(m.kind, m.key) for m in made.moves] == [
        ("load", "text"),
        ("evict", "old"),
        ("evict", "text"),
        ("load", "unet"),
    ]


def test_a_text_encoder_makes_way_for_the_denoiser() -> None:
    run = [
        Stage("encode", (Part("t5", 90),), 5),
        Stage("denoise", (Part("transformer", 95),), 5),
        Stage("decode", (Part("vae", 10),), 80),
    ]
    made = plan(run, [], 100)
    assert made.peak == 100
    assert [(m.kind, m.key) for m in made.moves] == [
        ("load", "t5"), ("evict", "t5"), ("load", "transformer"), ("evict", "transformer"), ("load", "vae"),
    ]  # fmt: skip


def test_what_does_not_fit_alone_is_streamed_and_else_refused_with_the_arithmetic() -> None:
    streamed = plan([Stage("denoise", (Part("unet:sdxl", 200, window=10),), 20)], [], 100)
    assert streamed.streamed == {"unet:sdxl"}
    assert streamed.peak == 30
    with pytest.raises(
        DoesNotFit, match=r"unet 200 MiB \+ working memory 20 MiB = 220 MiB; the memory budget is 100 MiB"
    ):
        plan([Stage("denoise", (Part("unet:sdxl", 200 << 20),), 20 << 20)], [], 100 << 20)


def test_what_one_stage_needs_is_never_evicted_for_it() -> None:
    run = [Stage("denoise", (Part("unet", 60), Part("controlnet", 40)))]
    made = plan(run, [Resident("controlnet", 40, last_use=0), Resident("other", 30, last_use=9)], 100)
    assert [(m.kind, m.key) for m in made.moves] == [("evict", "other"), ("load", "unet")]


def test_greedy_dual_size_keeps_what_is_slow_to_load_again() -> None:
    fast, slow = (
        replace(resident, priority=cost_per_byte(resident))
        for resident in (
            Resident("fast", 100, last_use=9, reload_seconds=0.1),
            Resident("slow", 100, last_use=1, reload_seconds=5),
        )
    )
    assert greedy_dual_size([fast, slow]).key == "fast"
    assert greedy_dual_size([replace(fast, priority=1), replace(slow, priority=1)]).key == "slow"  # least recently used
