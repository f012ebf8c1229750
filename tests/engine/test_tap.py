"""What the tap tells of a run is right, and it leaves no trace."""

from typing import Any

import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402

from studio.core.errors import Cancelled  # noqa: E402
from studio.core.samplers import SOLVERS  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.levels import level_of, predicted_x0  # noqa: E402
from studio.engine.samplers import build_scheduler  # noqa: E402
from studio.engine.tap import GuidanceLayout, TapStep, tapped  # noqa: E402
from tests.engine.analytic import MEAN, config_for, level_at, predict  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.sweeps import one_in  # noqa: E402


def steps_of(studio: Studio, name: str, **values: Any) -> list[TapStep]:
    steps: list[TapStep] = []
    studio.run(name, callbacks={"on_step": steps.append}, **values)
    return steps


@pytest.mark.parametrize(
    "sampler", one_in(6, ["dpmpp_2m", "euler", "ddim", "heun", "dpm2", "dpmpp_2s", "pndm", "dpmpp_sde"])
)
def test_one_event_a_step(studio: Studio, sampler: str) -> None:
    steps = steps_of(studio, "sd1", sampler=sampler, steps=8, count=2, batch_size=2)
    assert [s.index for s in steps] == list(range(8))
    assert {s.total for s in steps} == {8}
    assert {s.images for s in steps} == {(0, 1)}
    assert all(s.x_t.shape == s.x0.shape == s.cond.shape == s.uncond.shape == (2, 4, 16, 16) for s in steps)
    sigmas = [s.sigma for s in steps]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[0] > 3 and sigmas[-1] > 0
    assert [s.elapsed for s in steps] == sorted(s.elapsed for s in steps)
    assert all(s.seconds > 0 for s in steps)


DIFFUSION = ("epsilon", "v_prediction", "sample")
PAIRS = [
    (name, kind) for name, row in SOLVERS.items() if row.scheduler for kind in DIFFUSION if kind in row.predictions
]
FLOW_SAMPLERS = ("flow_euler", "flow_unipc", "flow_dpmpp_2m", "flow_heun")


@pytest.mark.parametrize(
    ("sampler", "prediction"), one_in(3, [*PAIRS, *((name, "flow_prediction") for name in FLOW_SAMPLERS)])
)
def test_predicted_x0_is_right_in_every_convention(sampler: str, prediction: str) -> None:
    """At each state the known denoiser's own x0 must come back, from whatever it is asked to predict."""
    scheduler = build_scheduler(config_for(prediction), sampler, "default", 12)
    scheduler.set_timesteps(12)
    # A picture that is its own best guess: with x0 exactly the mean, any state alpha x0 + sigma n of it maps back near it.
    x = torch.full((1, 1, 4, 4), MEAN) + torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    x = x * getattr(scheduler, "init_noise_sigma", 1.0)
    timestep = scheduler.timesteps[0]
    alpha, sigma = level_at(timestep, prediction)
    shown = scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else x
    expected = predict(shown, alpha, sigma, "sample")
    output = predict(shown, alpha, sigma, prediction)
    scheduler.step(output, timestep, x)
    level = level_of(scheduler, timestep)
    assert torch.allclose(predicted_x0(scheduler, level, output, x), expected, atol=2e-2)
    assert torch.allclose(x * level.input_scale, shown.float(), atol=1e-4)


def test_the_last_x0_is_the_picture(studio: Studio) -> None:
    """Solvers that end at sigma 0 end on their last predicted x0; so what the scrubber shows last is what is saved."""
    seen: list[torch.Tensor] = []
    steps: list[TapStep] = []
    studio.run(
        "sd1",
        callbacks={"on_step": steps.append, "on_decode": lambda latents, pixels: seen.append(latents)},
        sampler="euler",
        steps=8,
    )
    assert torch.allclose(steps[-1].x0, seen[0], atol=1e-4)


def test_conditional_and_unconditional_are_not_swapped(studio: Studio) -> None:
    """An empty prompt makes both the same; a negative prompt changes the unconditional one alone, at the first step."""
    same = steps_of(studio, "sd1", prompt="", negative_prompt="")[0]
    assert torch.allclose(same.cond, same.uncond, atol=1e-5)
    plain = steps_of(studio, "sd1", prompt="a red heart", negative_prompt="")[0]
    negative = steps_of(studio, "sd1", prompt="a red heart", negative_prompt="blue ring on the left")[0]
    assert torch.allclose(plain.cond, negative.cond, atol=1e-5)
    assert not torch.allclose(plain.uncond, negative.uncond, atol=1e-5)


def test_a_class_conditional_pipeline_lays_them_out_the_other_way(studio: Studio) -> None:
    a, b = steps_of(studio, "dit", prompt="3")[0], steps_of(studio, "dit", prompt="5")[0]
    assert a.cond.shape == a.x_t.shape == (1, 4, 8, 8)
    assert torch.allclose(a.uncond, b.uncond, atol=1e-5)


def test_without_guidance_there_is_no_unconditional_prediction(studio: Studio) -> None:
    step = steps_of(studio, "sd1", guidance_scale=1.0)[0]
    assert step.cond is not None and step.uncond is None
    assert steps_of(studio, "ddpm", steps=3)[0].uncond is None


@pytest.mark.parametrize("at", [0, 1, 4])
def test_cancel_takes_effect_within_one_step(studio: Studio, at: int) -> None:
    seen: list[TapStep] = []
    request = studio.request("sd1", steps=10)
    with studio.loaded("sd1") as loaded, pytest.raises(Cancelled):
        list(generate(request, loaded, on_step=seen.append, cancelled=lambda: len(seen) >= at))
    assert len(seen) == at


def test_nothing_stays_behind(studio: Studio) -> None:
    request = studio.request("sd1", steps=3)
    with studio.loaded("sd1") as loaded:
        unet, vae = loaded.components["unet"], loaded.components["vae"]
        for cancelled in (lambda: False, lambda: True):
            try:
                list(generate(request, loaded, cancelled=cancelled))
            except Cancelled:
                pass
            assert not unet._forward_hooks and not unet._forward_pre_hooks
            assert "decode" not in vars(vae)
        pipeline = loaded.pipeline()
        before = pipeline.scheduler.step
        with tapped(
            pipeline,
            "unet",
            GuidanceLayout("batch"),
            (0,),
            on_step=lambda step: None,
            cancelled=lambda: False,
            generators=[torch.Generator()],
        ):
            assert pipeline.scheduler.step != before
        assert pipeline.scheduler.step == before


@pytest.mark.parametrize(
    "sampler",
    one_in(
        3,
        [
            "euler",
            "euler_a",
            "heun",
            "dpmpp_2m",
            "dpm2",
            "lms",
            "dpmpp_2s",
            "unipc",
            "deis",
            "pndm",
            "sa_solver",
            "ddim",
        ],
    ),
)
def test_schedulers_do_not_write_into_what_the_tap_hands_out(studio: Studio, sampler: str) -> None:
    """The tap copies nothing, so a scheduler that changed a state in place would falsify the film."""
    kept: list[tuple[TapStep, torch.Tensor, torch.Tensor]] = []
    studio.run(
        "sd1",
        callbacks={"on_step": lambda step: kept.append((step, step.x_t.clone(), step.cond.clone()))},
        sampler=sampler,
        steps=5,
    )
    assert all(step.x_t.equal(x_t) and step.cond.equal(cond) for step, x_t, cond in kept)
