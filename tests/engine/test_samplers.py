"""Every legal pair of solver and spacing lands on the data's distribution, from the number of steps that the table names."""

import inspect
from typing import Any

import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402

from studio.core.errors import InvalidRequest, UnknownName  # noqa: E402
from studio.core.models import Capabilities, ModelInfo  # noqa: E402
from studio.core.options import legal_samplers, legal_spacings, options_for, resolve  # noqa: E402
from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.samplers import RUNGE_KUTTA_STEPS, SOLVERS, SPACINGS, good_from  # noqa: E402
from studio.engine.samplers import build_scheduler, step_ends, step_notes  # noqa: E402
from tests.engine.analytic import DIFFUSION_CONFIG, MEAN, STD, config_for, sample  # noqa: E402

# Every pair with one prediction, and every prediction with one spacing: what a prediction means does not hang on spacing.
# A consistency model is no denoiser of the known kind: its one solver is tried with its own family.
DENOISING = [(name, row) for name, row in SOLVERS.items() if row.scheduler and "consistency" not in row.predictions]
TRIPLES = [
    (sampler, spacing, prediction)
    for sampler, solver in DENOISING
    for spacing in solver.spacings
    for prediction in sorted(solver.predictions)
    if spacing == "default" or prediction == min(solver.predictions)
]
MANY = 50
MOST_NOISE_LEFT = 1.45  # of the data's own spread, at the fewest steps that the table allows


def run(sampler: str, spacing: str, prediction: str, steps: int) -> tuple[Any, Any]:
    return sample(build_scheduler(config_for(prediction), sampler, spacing, steps, "sd1"), steps, prediction)


@pytest.mark.parametrize(("sampler", "spacing", "prediction"), TRIPLES)
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


def is_a_picture(sampler: str, spacing: str, prediction: str, steps: int) -> bool:
    """Few steps may blur (a spread below the data's), as every sampler does; noise left over, or grey, is no picture."""
    _, end = run(sampler, spacing, prediction, steps)
    return float(end.std()) / STD < MOST_NOISE_LEFT and abs(float(end.mean()) - MEAN) < 0.3 * STD


@pytest.mark.parametrize(("sampler", "spacing", "prediction"), [t for t in TRIPLES if t[1] != "default"])
def test_from_the_steps_that_the_table_names_the_end_is_a_picture(sampler: str, spacing: str, prediction: str) -> None:
    least = good_from(sampler, spacing)
    if sampler == "pndm":
        least = RUNGE_KUTTA_STEPS + 1  # fewer are refused
    for steps in (least, least + 1, least + 2, 2 * least):
        assert is_a_picture(sampler, spacing, prediction, steps)


@pytest.mark.parametrize(("sampler", "spacing"), [(s, p) for s, p, _ in TRIPLES if good_from(s, p) > 1])
def test_below_them_it_is_none_so_the_advice_is_true(sampler: str, spacing: str) -> None:
    prediction = min(SOLVERS.get(sampler).predictions)
    assert not is_a_picture(sampler, spacing, prediction, good_from(sampler, spacing) - 1)


@pytest.mark.parametrize("sampler", [name for name, _ in DENOISING])
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


@pytest.mark.parametrize(("sampler", "spacing"), sorted({(s, p) for s, p, _ in TRIPLES}))
def test_every_setting_of_a_pair_is_one_that_the_class_reads(sampler: str, spacing: str) -> None:
    """An override that the class does not know would be dropped without a word, and the pair would be another one."""
    solver, column = SOLVERS.get(sampler), SPACINGS.get(spacing)
    known = inspect.signature(getattr(diffusers, solver.scheduler).__init__).parameters
    wanted = dict(solver.overrides) | {k: v for k, v in column.overrides.items() if v is not False}
    assert [name for name in wanted if name not in known] == []


def test_default_spacing_is_exactly_what_diffusers_makes_of_the_models_config() -> None:
    config = DIFFUSION_CONFIG | {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    ours = build_scheduler(config, "euler", "default", 8)
    theirs = diffusers.EulerDiscreteScheduler.from_config(config)
    ours.set_timesteps(8)
    theirs.set_timesteps(8)
    assert ours.timesteps.equal(theirs.timesteps)
    assert ours.sigmas.equal(theirs.sigmas)


def test_latents_are_not_clipped_because_a_config_is_silent() -> None:
    """DDIM clips to -1..1 by default; a model whose own scheduler has no such setting must not suffer that."""
    silent = {k: v for k, v in DIFFUSION_CONFIG.items() if k != "clip_sample"}
    assert build_scheduler(silent, "ddim", "default", 10).config.clip_sample is False
    assert build_scheduler(silent | {"clip_sample": True}, "ddim", "default", 10).config.clip_sample is True


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "dpmpp_2m_sde", "unipc", "deis"])
def test_repeated_timesteps_lose_no_step(sampler: str) -> None:
    """Beta spacing at many steps rounds the first two timesteps to one; looking the place up would skip a step and crash."""
    scheduler = build_scheduler(config_for("epsilon"), sampler, "beta", 50, "sd1")
    scheduler.set_timesteps(50)
    assert len(scheduler.timesteps) != len(set(scheduler.timesteps.tolist()))
    _, end = sample(scheduler, 50, "epsilon")
    assert abs(float(end.mean()) - MEAN) < 0.05


@pytest.mark.parametrize(
    ("sampler", "spacing", "steps", "noted"),
    [
        ("heun", "beta", 9, ["Below 10 steps, Heun with Beta spacing leaves noise or grey in the picture."]),
        ("heun", "beta", 10, []),
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
    assert advice["beta"].below == 10 and "Below 10 steps" in advice["beta"].sentence
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
        ({"sampler": "euler_a", "spacing": "karras"}, InvalidRequest, "spacing"),
        ({"sampler": "euler", "spacing": "cosine"}, UnknownName, "spacing"),
        ({"sampler": "lcm", "steps": 51}, InvalidRequest, "sampler"),
    ],
)
def test_an_illegal_pair_is_refused_by_name(values: dict[str, object], error: type, field: str) -> None:
    with pytest.raises(error) as refused:
        resolve(GenerationRequest(**values), model())
    assert refused.value.field == field
    assert str(values.get(field)) in str(refused.value)
