"""Every legal pair of solver and spacing lands on the data's distribution, from the number of steps that the table names."""

import inspect
from typing import Any

import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import numpy as np  # noqa: E402

from studio.core.errors import InvalidRequest, UnknownName  # noqa: E402
from studio.core.models import Capabilities, ModelInfo  # noqa: E402
from studio.core.options import legal_samplers, legal_spacings, options_for, resolve  # noqa: E402
from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.samplers import RUNGE_KUTTA_STEPS, SOLVERS, good_from  # noqa: E402
from studio.engine.samplers import build_scheduler, scheduler_class_of, step_ends, step_notes  # noqa: E402
from tests.engine.analytic import DIFFUSION_CONFIG, MEAN, STD, config_for, sample  # noqa: E402
from tests.engine.reference import training_levels  # noqa: E402
from tests.sweeps import one_in  # noqa: E402

# A consistency model is no denoiser of the known kind: its one solver is tried with its own family.
DENOISING = [(name, row) for name, row in SOLVERS.items() if row.scheduler and "consistency" not in row.predictions]
PAIRS = [(sampler, spacing) for sampler, row in DENOISING for spacing in row.spacings]
NAMED = [(sampler, spacing) for sampler, spacing in PAIRS if spacing != "default"]
OWN = [(sampler, own) for sampler, row in DENOISING for own in row.own_good_from]
MANY = 50
MOST_NOISE_LEFT = 1.45  # of the data's own spread, at the fewest steps that the table allows


def run(sampler: str, spacing: str, prediction: str, steps: int, own: str = "") -> tuple[Any, Any]:
    """`own` is a spacing that the model's configuration names."""
    flag = {f"use_{own}_sigmas": True} if own in ("karras", "exponential", "beta") else {"timestep_spacing": own}
    config = config_for(prediction) | (flag if own else {})
    return sample(build_scheduler(config, sampler, spacing, steps, "sd1"), steps, prediction)


# Cells are held against their definitions in test_sampler_oracle.py; here each solver is tried with each prediction.
@pytest.mark.parametrize(
    ("sampler", "spacing", "prediction"),
    one_in(
        4,
        [(sampler, "default", kind) for sampler, row in DENOISING for kind in sorted(row.predictions)]
        + [("sa_solver", spacing, "epsilon") for spacing in SOLVERS.get("sa_solver").spacings[1:]],
    ),
)
def test_many_steps_land_on_the_data(sampler: str, spacing: str, prediction: str) -> None:
    """The exact probability flow carries a start z to mean + std z: a solver may be inexact, but not shuffle it."""
    solver = SOLVERS.get(sampler)
    start, end = run(sampler, spacing, prediction, MANY)
    # LCM and TCD jump to the posterior mean and so contract unless a model was distilled for them; DDPM's smaller
    # variance approaches the data's from below.
    least = 0.6 if solver.distilled else 0.85
    assert least < float(end.std()) / STD < 1.2
    assert abs(float(end.mean()) - MEAN) < 0.1 * STD
    if not solver.stochastic:
        assert float((end - (MEAN + STD * start)).square().mean().sqrt()) < 0.15 * STD


def is_a_picture(sampler: str, spacing: str, steps: int, own: str = "") -> bool:
    """Few steps may blur (a spread below the data's), as every sampler does; noise left over, or grey, is no picture."""
    _, end = run(sampler, spacing, min(SOLVERS.get(sampler).predictions), steps, own)
    return float(end.std()) / STD < MOST_NOISE_LEFT and abs(float(end.mean()) - MEAN) < 0.3 * STD


@pytest.mark.parametrize(("sampler", "spacing"), one_in(6, NAMED))
def test_from_the_steps_that_the_table_names_the_end_is_a_picture(sampler: str, spacing: str) -> None:
    least = RUNGE_KUTTA_STEPS + 1 if sampler == "pndm" else good_from(sampler, spacing)  # fewer are refused
    for steps in (least, least + 1, least + 2, 2 * least):
        assert is_a_picture(sampler, spacing, steps)


@pytest.mark.parametrize(("sampler", "spacing"), one_in(6, (pair for pair in NAMED if good_from(*pair) > 1)))
def test_below_them_it_is_none_so_the_advice_is_true(sampler: str, spacing: str) -> None:
    assert not is_a_picture(sampler, spacing, good_from(sampler, spacing) - 1)


@pytest.mark.parametrize(("sampler", "own"), one_in(6, OWN))
def test_the_advice_on_a_models_own_spacing_is_true(sampler: str, own: str) -> None:
    least = good_from(sampler, "default", own)
    assert is_a_picture(sampler, "default", least, own) and is_a_picture(sampler, "default", least + 1, own)
    assert not is_a_picture(sampler, "default", least - 1, own)


@pytest.mark.parametrize("sampler", one_in(2, (name for name, row in DENOISING if not row.adaptive)))
def test_steps_are_counted_not_scheduler_calls(sampler: str) -> None:
    solver = SOLVERS.get(sampler)
    spacing = "trailing" if "trailing" in solver.spacings else "default"
    scheduler = build_scheduler(config_for(min(solver.predictions)), sampler, spacing, 20, "sd1")
    for steps in (4, 5, 20):
        scheduler.set_timesteps(steps)
        ends = step_ends(scheduler)
        assert len(ends) == steps
        assert ends == sorted(set(ends))
        assert ends[-1] == len(scheduler.timesteps) - 1


@pytest.mark.parametrize("sampler", [name for name, _ in DENOISING])
def test_every_setting_of_a_row_is_one_that_its_class_reads(sampler: str) -> None:
    """An override that the class does not know would be dropped without a word, and the row would be another one."""
    known = inspect.signature(scheduler_class_of(sampler).__init__).parameters
    assert [name for name in SOLVERS.get(sampler).overrides if name not in known] == []


@pytest.mark.parametrize("sampler", one_in(2, (name for name, row in DENOISING if hasattr(diffusers, row.scheduler))))
def test_default_spacing_is_exactly_what_diffusers_makes_of_the_models_config(sampler: str) -> None:
    solver = SOLVERS.get(sampler)
    for carried in ("linspace", "trailing", "leading") if sampler in ("euler", "dpmpp_2m") else ("trailing",):
        config = config_for(min(solver.predictions)) | {"timestep_spacing": carried, "skip_prk_steps": True}
        ours = build_scheduler(config, sampler, "default", 8)
        named = {"flow_shift": config.get("shift", 1.0)}  # what some classes call it
        theirs = getattr(diffusers, solver.scheduler).from_config(config | solver.overrides | named)
        ours.set_timesteps(8)
        theirs.set_timesteps(8)
        assert ours.timesteps.equal(theirs.timesteps) or ours.unrounded
        assert not hasattr(theirs, "sigmas") or ours.sigmas.equal(theirs.sigmas)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "dpmpp_2s", "unipc", "deis", "dpm2", "sa_solver"])
def test_a_named_spacing_shows_the_model_the_level_that_the_state_has(sampler: str) -> None:
    """diffusers rounds the timesteps of these: off by up to 3e-3, and at many steps two of them are equal."""
    scheduler = build_scheduler(config_for("epsilon"), sampler, "beta", 60, "sd1")
    scheduler.set_timesteps(60)
    timesteps, sigmas = scheduler.timesteps[:: scheduler.order].double(), scheduler.sigmas[: len(scheduler.timesteps)]
    assert len(set(timesteps.tolist())) == 60
    meant = np.exp(np.interp(timesteps, np.arange(1000), np.log(training_levels())))
    assert np.allclose(meant, np.unique(sigmas)[::-1][:60], rtol=1e-4)


@pytest.mark.parametrize("sampler", ["euler", "ddim", "pndm", "dpmpp_2m"])
def test_trailing_makes_the_steps_asked_for_where_they_do_not_divide_the_schedule(sampler: str) -> None:
    """At 61 steps, and 61 other numbers up to 1000, diffusers' rounding makes a 62nd, at timestep -1."""
    scheduler = build_scheduler(config_for("epsilon") | {"skip_prk_steps": True}, sampler, "trailing", 61)
    scheduler.set_timesteps(61)
    assert len(set(scheduler.timesteps.tolist())) == 61 and scheduler.timesteps.min() > 0


def test_latents_are_not_clipped_because_a_config_is_silent() -> None:
    """DDIM clips to -1..1 by default; a model whose own scheduler has no such setting must not suffer that."""
    silent = {k: v for k, v in DIFFUSION_CONFIG.items() if k != "clip_sample"}
    assert build_scheduler(silent, "ddim", "default", 10).config.clip_sample is False
    assert build_scheduler(silent | {"clip_sample": True}, "ddim", "default", 10).config.clip_sample is True


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "noted"),
    [
        ("heun", "karras", 5, ["Below 6 steps, Heun with Karras spacing leaves noise or grey in the picture."]),
        ("heun", "karras", 6, []),
        ("euler", "default", 1, ["Below 2 steps, Euler with Linspace spacing leaves noise or grey in the picture."]),
        ("euler", "trailing", 1, []),
    ],
)
def test_a_run_of_too_few_steps_is_made_and_its_recipe_says_so(
    sampler: str, spacing: str, steps: int, noted: list[str]
) -> None:
    scheduler = build_scheduler(config_for("epsilon"), sampler, spacing, steps)
    assert list(step_notes(scheduler, sampler, spacing, steps)) == noted


def test_steps_that_the_class_cannot_lay_out_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="pndm needs at least 4 steps with this model") as refused:
        build_scheduler(config_for("epsilon"), "pndm", "linspace", RUNGE_KUTTA_STEPS)
    assert refused.value.field == "steps"
    build_scheduler(config_for("epsilon") | {"skip_prk_steps": True}, "pndm", "linspace", 1)


def test_a_solver_without_zero_snr_is_refused_for_a_model_that_needs_it() -> None:
    config = config_for("v_prediction") | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    assert build_scheduler(config, "euler", "default", 20).config.rescale_betas_zero_snr
    with pytest.raises(InvalidRequest, match="zero signal"):
        build_scheduler(config, "heun", "default", 20)


def test_align_your_steps_is_the_published_table_at_ten_steps() -> None:
    scheduler = build_scheduler(config_for("epsilon"), "euler", "ays", 10, "sdxl")
    scheduler.set_timesteps(10)
    published = diffusers.schedulers.AysSchedules["StableDiffusionXLTimesteps"]
    assert [abs(a - b) <= 1 for a, b in zip(scheduler.timesteps.tolist(), published, strict=True)] == [True] * 10


def model(**values: Any) -> ModelInfo:
    family = values.pop("family", "sd1")
    return ModelInfo(id="m", title="M", kind="diffusers", family=family, capabilities=Capabilities(**values))


def test_the_form_offers_what_resolve_accepts_and_nothing_else() -> None:
    for info in (
        model(),
        model(prediction="flow_prediction", family="sd3"),
        model(prediction="sample"),
        model(distilled=True),
    ):
        options = options_for(info)
        assert [choice.name for choice in options.samplers] == legal_samplers(info)
        for choice in options.samplers:
            for spacing in options.spacings[choice.name]:
                resolve(GenerationRequest(sampler=choice.name, spacing=spacing.name, steps=50), info)


def test_the_form_is_told_from_how_many_steps_a_pair_is_good() -> None:
    advice = options_for(model(spacing="trailing")).advice["heun"]
    assert advice["karras"].below == 6 and "Below 6 steps" in advice["karras"].sentence
    assert "default" not in advice  # this model's own spacing is good from the first step
    assert options_for(model(spacing="linspace")).advice["heun"]["default"].below == 5
    assert "heun" in options_for(model()).advice and "default" not in options_for(model()).advice["heun"]


def test_flow_models_get_flow_solvers_and_others_do_not() -> None:
    flow = set(legal_samplers(model(prediction="flow_prediction", family="sd3")))
    assert flow == {"flow_euler", "flow_unipc", "flow_heun", "flow_dpmpp_2m"}
    assert flow.isdisjoint(legal_samplers(model()))


def test_few_step_solvers_are_for_distilled_models() -> None:
    assert {"lcm", "tcd"}.isdisjoint(legal_samplers(model()))
    assert {"lcm", "tcd"} <= set(legal_samplers(model(distilled=True)))


def test_align_your_steps_is_offered_only_where_its_table_exists() -> None:
    assert "ays" in legal_spacings(model(family="sdxl"), "euler")
    assert "ays" not in legal_spacings(model(family="pixart"), "euler")


@pytest.mark.parametrize(
    ("values", "error", "field"),
    [
        ({"sampler": "flow_euler"}, InvalidRequest, "sampler"),
        ({"sampler": "edm_euler"}, UnknownName, "sampler"),
        ({"sampler": "ddim", "spacing": "karras"}, InvalidRequest, "spacing"),
        ({"sampler": "euler", "spacing": "cosine"}, UnknownName, "spacing"),
        ({"sampler": "lcm", "steps": 51}, InvalidRequest, "sampler"),
    ],
)
def test_an_illegal_pair_is_refused_by_name(values: dict[str, object], error: type, field: str) -> None:
    with pytest.raises(error) as refused:
        resolve(GenerationRequest(**values), model())
    assert refused.value.field == field
    assert str(values.get(field)) in str(refused.value)
