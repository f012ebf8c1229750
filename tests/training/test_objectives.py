"""Each objective's reading of its own target gives x0 back, on each schedule it is meant for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio import compat

compat.prepare()

from studio.core.errors import InvalidRequest  # noqa: E402
from studio.training.config import parse  # noqa: E402
from studio.training.objectives import losses, objectives, weight, weightings  # noqa: E402
from studio.training.schedules import schedules  # noqa: E402

PAIRS = [(o, s) for o in ("epsilon", "x0", "v") for s in ("linear", "scaled_linear", "cosine", "sigmoid")]
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


def test_cosine_and_sigmoid_are_their_papers_curves_and_the_stock_schedulers():
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    f = lambda u: torch.cos((u + 0.008) / 1.008 * torch.pi / 2) ** 2  # noqa: E731
    g = lambda u: (torch.tanh(torch.tensor(1.5)) - torch.tanh(3 * u - 1.5)) / (2 * torch.tanh(torch.tensor(1.5)))  # noqa: E731
    first = f(torch.tensor(0.0, dtype=torch.float64))
    for name, closed, below in (("cosine", f(t) / first, 990), ("sigmoid", g(t), 990)):
        made = schedules.get(name)()
        alpha, sigma = made.alpha_sigma(torch.arange(1000))
        torch.testing.assert_close(alpha[:below].double() ** 2, closed[:below], rtol=0, atol=1e-6)
        torch.testing.assert_close(sigma[:below].double() ** 2, 1 - closed[:below], rtol=0, atol=1e-6)
        stock = made.scheduler("v_prediction").alphas_cumprod.double()
        torch.testing.assert_close(stock, alpha.double() ** 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine", "sigmoid"])
def test_with_zero_terminal_snr_the_last_step_is_noise_alone_and_the_first_as_before(name):
    plain, made = schedules.get(name)(), schedules.get(name)(zero_terminal_snr=1)
    (a, _), (b, sigma) = (each.alpha_sigma(torch.arange(1000)) for each in (plain, made))
    assert (float(b[-1]), float(sigma[-1])) == (0.0, 1.0)
    closed = a.double()[0] * (a.double() - a.double()[-1]) / (a.double()[0] - a.double()[-1])
    torch.testing.assert_close(b.double(), closed, rtol=0, atol=1e-6)
    stock = made.scheduler("v_prediction").alphas_cumprod
    torch.testing.assert_close(stock, b.square(), rtol=0, atol=1e-5)
    torch.manual_seed(0)
    scheduler = made.scheduler("v_prediction")
    scheduler.set_timesteps(10)
    x = torch.randn(1, 4)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.zeros(1, 4), t, x).prev_sample
    assert torch.isfinite(x).all()


def test_weights_and_losses_are_their_closed_forms():
    alpha, sigma = schedules.get("linear")().alpha_sigma(torch.arange(0, 1000, 37))
    alpha, sigma = alpha.double(), sigma.double()
    snr, s = (alpha / sigma) ** 2, sigma / alpha
    epsilon, x0 = objectives.get("epsilon"), objectives.get("x0")
    torch.testing.assert_close(weight(epsilon, "p2", alpha, sigma), 1 / (1 + snr), rtol=1e-6, atol=1e-6)
    edm = (s**2 + 0.25) / (s * 0.5) ** 2
    torch.testing.assert_close(weight(x0, "edm", alpha, sigma), edm, rtol=1e-6, atol=1e-6)
    d = torch.tensor([-2.0, -0.25, 0.0, 0.5, 1.0])
    torch.testing.assert_close(losses.get("mse")(d), d * d)
    torch.testing.assert_close(losses.get("l1")(d), d.abs())
    torch.testing.assert_close(losses.get("huber")(d), 2 * torch.nn.functional.huber_loss(d, 0 * d, "none", 0.5))


def test_epsilon_is_refused_where_the_last_step_is_noise_alone():
    task = {"kind": "pixels", "objective": "epsilon", "schedule_options": {"zero_terminal_snr": 1}}
    with pytest.raises(InvalidRequest, match="choose v or x0"):
        parse({"name": "a", "task": task})
