"""The sampler table as data: what it says of old pictures, and that its rows agree with one another."""

import pytest

from studio.core.samplers import SOLVERS, SPACINGS, advice, corrected_since, good_from


@pytest.mark.parametrize(
    ("sampler", "spacing", "version", "sentence"),
    [
        ("euler", "karras", "0.1.0", "sampler: euler with spacing karras was corrected in version 0.2"),
        ("dpmpp_3m_sde", "default", "0.1.0", "sampler: dpmpp_3m_sde with spacing default was corrected in version 0.2"),
        ("euler", "default", "0.1.0", None),
        ("euler", "karras", "0.2.0", None),
        ("euler", "karras", "", None),
    ],
)
def test_a_replay_names_what_was_corrected_since_its_picture(
    sampler: str, spacing: str, version: str, sentence: str | None
) -> None:
    assert corrected_since(sampler, spacing, version) == sentence


def test_advice_is_for_spacings_that_a_solver_has() -> None:
    own = {"", "karras", "exponential", "beta", "linspace", "trailing", "leading"}
    for _, solver in SOLVERS.items():
        assert set(solver.good_from) <= set(solver.spacings) - {"default"}
        assert set(solver.own_good_from) <= own
        assert set(solver.spacings) <= {name for name, _ in SPACINGS.items()}


def test_the_advice_on_the_models_own_spacing_names_it() -> None:
    assert good_from("heun", "default", "linspace") == 5 and "Linspace" in advice("heun", "default", "linspace")
    assert good_from("heun", "default", "trailing") == 1
    assert good_from("dpm_fast", "default", "leading") == 6 == good_from("dpm_fast", "default")
    assert "Default" in advice("dpm_fast", "default")
