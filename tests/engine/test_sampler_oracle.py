"""Every cell of the sampler table ends where its definition ends: same start, same noise, an exact denoiser."""

from typing import Any

import pytest

from studio import compat

compat.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from studio.core.samplers import SOLVERS  # noqa: E402
from studio.engine.samplers import build_scheduler  # noqa: E402
from tests.engine.analytic import FLOW_CONFIG, config_for  # noqa: E402
from tests.engine.oracle import (  # noqa: E402
    CARRIED,
    CELLS,
    CLOSE,
    FLOW_CELLS,
    LOOSER,
    STEPS,
    TRAINING,
    error_of,
    flow_error_of,
    relative,
    run,
)
from tests.engine.reference import denoise, flow_levels  # noqa: E402
from tests.engine.reference_solvers import dpm_adaptive  # noqa: E402


def representatives() -> list[tuple[str, str, str, str]]:
    """Of each solver every other spacing: it has one of its predictions, and each spacing one carried along."""
    chosen = []
    for number, (sampler, row) in enumerate(SOLVERS.items()):
        for column, spacing in list(enumerate(row.spacings))[number % 2 :: 2] or [(0, "default")]:
            prediction = sorted(row.predictions)[number % len(row.predictions)]
            cell = (sampler, spacing, prediction, CARRIED[(column + 2) % 3])
            chosen += [cell] if cell in CELLS else []
    return chosen


def check(sampler: str, spacing: str, prediction: str, carried: str) -> None:
    assert error_of(sampler, spacing, prediction, carried) < LOOSER.get(sampler, CLOSE)


@pytest.mark.parametrize(("sampler", "spacing", "prediction", "carried"), representatives())
def test_a_cell_is_its_definition(sampler: str, spacing: str, prediction: str, carried: str) -> None:
    check(sampler, spacing, prediction, carried)


@pytest.mark.sweep
@pytest.mark.parametrize(("sampler", "spacing", "prediction", "carried"), sorted(set(CELLS) - set(representatives())))
def test_every_cell_is_its_definition(sampler: str, spacing: str, prediction: str, carried: str) -> None:
    check(sampler, spacing, prediction, carried)


@pytest.mark.parametrize(("sampler", "spacing"), FLOW_CELLS)
def test_a_flow_cell_is_its_definition(sampler: str, spacing: str) -> None:
    assert flow_error_of(sampler, spacing) < CLOSE


@pytest.mark.parametrize("spacing", ["karras", "exponential", "beta"])
def test_a_flow_grid_keeps_its_range_however_the_pipeline_lays_out_its_own(spacing: str) -> None:
    """FLUX's pipeline passes levels down to 1/steps, and a shift that depends on the picture's size."""
    config = FLOW_CONFIG | {"use_dynamic_shifting": True, "time_shift_type": "exponential"}
    scheduler = build_scheduler(config, "flow_euler", spacing, 8, "flux")
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 8, 8), mu=float(np.log(3.0)))
    assert np.allclose(scheduler.sigmas[:-1], flow_levels(spacing, 8, 3.0), rtol=1e-5)
    assert scheduler.sigmas[-1] == 0 and torch.equal(scheduler.timesteps, scheduler.sigmas[:-1] * 1000)


def test_a_flow_model_whose_own_scheduler_it_is_keeps_its_timesteps() -> None:
    import diffusers

    config = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
    ours = build_scheduler(config, "flow_unipc", "default", 10, own=diffusers.UniPCMultistepScheduler)
    theirs = diffusers.UniPCMultistepScheduler.from_config(config)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(10)
    assert torch.equal(ours.timesteps, theirs.timesteps) and torch.equal(ours.sigmas, theirs.sigmas)


def adaptive() -> Any:
    return build_scheduler(config_for("epsilon"), "dpm_adaptive", "default", STEPS)


def test_dpm_adaptive_makes_the_steps_that_its_controller_makes_whatever_number_is_asked_for() -> None:
    made = run(adaptive(), STEPS, "epsilon")
    end, steps = dpm_adaptive(denoise, made.start * TRAINING[-1], TRAINING[0], TRAINING[-1])
    assert made.scheduler.done and made.scheduler.expected_steps == steps
    assert made.calls >= 3 * steps and relative(made.end, end) < LOOSER["dpm_adaptive"]
    more = run(adaptive(), 2 * STEPS, "epsilon")
    assert more.calls == made.calls and relative(more.end, made.end) < 1e-6


def test_dpm_adaptive_ends_though_nothing_can_be_made_of_what_the_model_says() -> None:
    scheduler = adaptive()
    scheduler.set_timesteps(5)
    x, calls = torch.ones(1, 1, 2, 2), 0
    for timestep in scheduler.timesteps:
        x, calls = scheduler.step(torch.full_like(x, float("nan")), timestep, x, return_dict=False)[0], calls + 1
    assert scheduler.done and calls < 1000
