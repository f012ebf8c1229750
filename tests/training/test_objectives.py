"""Each objective's reading of its own target gives x0 back, on each schedule it is meant for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio import compat

compat.prepare()

from studio.training.objectives import objectives, weight, weightings  # noqa: E402
from studio.training.schedules import schedules  # noqa: E402

PAIRS = [(o, s) for o in ("epsilon", "x0", "v") for s in ("linear", "scaled_linear")]
PAIRS += [("flow", "flow"), ("epsilon", "flow"), ("x0", "flow")]


@pytest.mark.parametrize(("objective", "schedule"), PAIRS)
@given(u=st.floats(0.01, 0.98), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_to_x0_inverts_target(objective, schedule, u, seed):
    made, rule = schedules.get(schedule)(), objectives.get(objective)
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, 1, 4, 2, 2, generator=generator, dtype=torch.float64)
    scales = made.alpha_sigma(made.times(torch.tensor([u], dtype=torch.float64)))
    alpha, sigma = (s.double().view(-1, 1, 1, 1) for s in scales)
    x_t = alpha * x0 + sigma * eps
    out = rule.target(x0, eps, alpha, sigma)
    torch.testing.assert_close(rule.to_x0(out, x_t, alpha, sigma), x0, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("objective", ["epsilon", "v"])
@pytest.mark.parametrize("weighting", weightings.names())
def test_weights_are_finite_and_the_same_in_terms_of_x0(objective, weighting):
    made, rule = schedules.get("scaled_linear")(), objectives.get(objective)
    alpha, sigma = made.alpha_sigma(torch.arange(1000))
    w = weight(rule, weighting, alpha, sigma)
    assert torch.isfinite(w).all()
    assert (w > 0).all()
    if weighting != "uniform":
        reference = weight(objectives.get("x0"), weighting, alpha, sigma)
        torch.testing.assert_close(w * rule.per_x0(alpha, sigma), reference, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", schedules.names())
def test_schedules_go_from_signal_to_noise(name):
    made = schedules.get(name)()
    times = made.times(torch.linspace(0, 0.999, 50))
    alpha, sigma = made.alpha_sigma(times.sort().values)
    assert alpha[0] > 0.99
    assert sigma[0] < 0.1
    assert alpha[-1] < 0.1
    assert (alpha.diff() <= 0).all()
    assert (sigma.diff() >= 0).all()


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_a_discrete_schedule_and_its_stock_scheduler_agree(name):
    made = schedules.get(name)(beta_start=0.00085, beta_end=0.02)
    scheduler = made.scheduler("v_prediction")
    alpha, sigma = made.alpha_sigma(torch.arange(1000))
    torch.testing.assert_close(alpha.square(), scheduler.alphas_cumprod, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones(1000))
    assert scheduler.config.prediction_type == "v_prediction"
