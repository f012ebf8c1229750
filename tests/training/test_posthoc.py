"""Post-hoc EMA: the profiles have their closed forms, and a combination of kept averages is the average that was never kept."""

import numpy as np
import pytest
import torch

from studio.training.posthoc import coefficients, combined, decay, exponent, overlap


def profile(gamma: float, end: int, steps: int) -> np.ndarray:
    """What each step's weights count in the running average after `end` of `steps` updates."""
    shares = np.zeros(steps)
    for step in range(1, end + 1):
        shares *= decay(step, gamma)
        shares[step - 1] += 1 - decay(step, gamma)
    return shares


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_a_profile_is_a_power_of_time_with_the_width_that_was_asked_for(width):
    gamma, n = exponent(width), 4000
    assert width == pytest.approx(((gamma + 1) ** 0.5) / ((gamma + 2) * (gamma + 3) ** 0.5), rel=1e-6)
    shares, times = profile(gamma, n, n), (np.arange(n) + 0.5) / n
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.cumsum(shares)[99::100], (np.arange(1, n + 1) / n)[99::100] ** (gamma + 1), atol=1e-9)
    assert np.sqrt((shares * times**2).sum() - (shares * times).sum() ** 2) == pytest.approx(width, rel=1e-3)


def test_the_overlap_of_profiles_is_their_integral():
    t = (np.arange(400_000) + 0.5) / 400_000 * 9
    p, q = (np.where(t <= end, (g + 1) * t**g / end ** (g + 1), 0) for end, g in ((4.0, 6.0), (9.0, 2.5)))
    assert overlap(4.0, 6.0, 9.0, 2.5) == pytest.approx(float((p * q).sum() * 9 / 400_000), rel=1e-4)
    assert overlap(4.0, 6.0, 9.0, 2.5) == pytest.approx(overlap(9.0, 2.5, 4.0, 6.0))


def test_a_width_that_was_not_kept_is_rebuilt_after_the_run():
    n = 640
    weights = np.cumsum(np.random.default_rng(0).standard_normal((n, 3)), axis=0)
    kept = [(end, exponent(width)) for end in range(40, n + 1, 40) for width in (0.05, 0.1)]
    averages = [[torch.from_numpy(profile(gamma, end, n) @ weights)] for end, gamma in kept]
    for width in (0.06, 0.08, 0.12):
        made = combined(averages, coefficients(kept, n, width))[0].numpy()
        aim = profile(exponent(width), n, n) @ weights
        np.testing.assert_allclose(made, aim, atol=0.02 * np.abs(weights).max())
