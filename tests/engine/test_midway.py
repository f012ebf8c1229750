"""A run that begins midway, as image to image does, begins at the level where its picture was put, and its steps are counted."""

from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core.samplers import SOLVERS  # noqa: E402
from studio.engine.samplers import build_scheduler, seed_scheduler, step_ends  # noqa: E402
from studio.engine.schedulers.beginning import begins_at  # noqa: E402
from studio.engine.tap import GuidanceLayout, TapStep, tapped  # noqa: E402
from tests.engine.analytic import MEAN, STD, config_for, level_at, walk  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.sweeps import one_in  # noqa: E402

SAMPLERS = [name for name, row in SOLVERS.items() if row.scheduler and "epsilon" in row.predictions]
FLOW_SAMPLERS = [name for name, row in SOLVERS.items() if row.predictions == {"flow_prediction"}]
STEPS = 10
MENDED = {"lms", "pndm", "dpmpp_3m_sde"}  # diffusers' own runs that begin midway are wrong, or all of them are
SKIPS = {"skip_prk_steps": True}  # as Stable Diffusion has it; Runge-Kutta steps cannot begin midway


@pytest.fixture(scope="module")
def pipeline(studio: Studio) -> Any:
    made = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(studio.folder("sd1"))
    made.set_progress_bar_config(disable=True)
    made.own_config = dict(made.scheduler.config) | SKIPS  # each test changes its scheduler
    return made


def picture(pipeline: Any, scheduler: Any, strength: float) -> np.ndarray:
    pipeline.scheduler = scheduler
    seed_scheduler(scheduler, [7])
    given = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    return pipeline(
        "a red heart",
        image=given,
        strength=strength,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).images.numpy()


@pytest.mark.parametrize(
    ("sampler", "strength", "steps"),
    one_in(7, ((sampler, *run) for run in ((0.6, 6), (0.3, 3), (1.0, 10)) for sampler in SAMPLERS)),
)
def test_image_to_image_is_diffusers_own_and_each_step_is_told(
    pipeline: Any, sampler: str, strength: float, steps: int
) -> None:
    ours = build_scheduler(pipeline.own_config, sampler, "default", STEPS, "sd1")
    seen: list[TapStep] = []
    pipeline.scheduler = ours
    with tapped(
        pipeline,
        "unet",
        GuidanceLayout("batch"),
        (0,),
        on_step=seen.append,
        cancelled=lambda: False,
        generators=[torch.Generator().manual_seed(7)],
    ):
        made = picture(pipeline, ours, strength)
    if sampler == "pndm" and strength < 1:
        steps += 1  # its grid has one timestep twice, and pipelines cut it by place
    if SOLVERS.get(sampler).adaptive:
        steps = len(seen)
    assert [step.index for step in seen] == list(range(steps))
    assert {step.total for step in seen} == {steps} or (SOLVERS.get(sampler).adaptive and seen[-1].total == steps)
    assert np.isfinite(made).all()
    if hasattr(diffusers, SOLVERS.get(sampler).scheduler) and (
        sampler not in MENDED or (strength == 1 and sampler != "dpmpp_3m_sde")
    ):
        theirs = getattr(diffusers, SOLVERS.get(sampler).scheduler).from_config(ours.config)
        assert np.array_equal(made, picture(pipeline, theirs, strength))


def midway(sampler: str, prediction: str, spacing: str, begin: int, begun: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(what the exact flow makes, what the sampler makes) of data noised to the grid's step number `begin`."""
    scheduler = build_scheduler(config_for(prediction) | SKIPS, sampler, spacing, 50, "sd1")
    scheduler.set_timesteps(50)
    place = begin * scheduler.order
    if begun and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(place)
    generator = torch.Generator().manual_seed(0)
    data = MEAN + STD * torch.randn(1, 1, 1, 1024, generator=generator)
    noise = torch.randn(data.shape, generator=generator)
    timestep = scheduler.timesteps[place : place + 1]
    add = scheduler.add_noise if hasattr(scheduler, "add_noise") else lambda x, n, t: scheduler.scale_noise(x, t, n)
    start = add(data, noise, timestep)
    alpha, sigma = level_at(timestep, prediction)
    spread = (alpha**2 * STD**2 + sigma**2) ** 0.5
    exact = MEAN + STD * (alpha * data + sigma * noise - alpha * MEAN) / spread
    seed_scheduler(scheduler, [0])
    assert begins_at(scheduler, timestep[0]) == place
    return exact, walk(scheduler, start, place, prediction, generator)


@pytest.mark.parametrize("begun", [True, False], ids=["begin index set", "timesteps only cut"])
@pytest.mark.parametrize(
    ("sampler", "prediction"),
    one_in(3, [(s, "epsilon") for s in SAMPLERS] + [(s, "flow_prediction") for s in FLOW_SAMPLERS]),
)
def test_it_lands_on_the_data_whether_or_not_the_pipeline_says_where_it_begins(
    sampler: str, prediction: str, begun: bool
) -> None:
    check_midway(sampler, prediction, "default", begun)


@pytest.mark.parametrize("sampler", one_in(4, (name for name in SAMPLERS if len(SOLVERS.get(name).spacings) > 1)))
def test_and_on_a_named_spacing_whose_timesteps_are_not_whole(sampler: str) -> None:
    row = SOLVERS.get(sampler)
    check_midway(sampler, min(row.predictions), "karras" if "karras" in row.spacings else "trailing", begun=True)


def check_midway(sampler: str, prediction: str, spacing: str, begun: bool) -> None:
    exact, end = midway(sampler, prediction, spacing, 20, begun)
    solver = SOLVERS.get(sampler)
    assert (0.6 if solver.distilled else 0.85) < float(end.std()) / STD < 1.2
    assert abs(float(end.mean()) - MEAN) < 0.1 * STD
    if not solver.stochastic:
        assert float((end - exact).square().mean().sqrt()) < 0.1 * STD


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "unipc", "deis"])
def test_where_rounding_made_the_first_timesteps_equal_no_step_is_lost(sampler: str) -> None:
    scheduler = build_scheduler(config_for("epsilon") | {"use_beta_sigmas": True}, sampler, "default", 50, "sd1")
    scheduler.set_timesteps(50)
    assert scheduler.timesteps[0] == scheduler.timesteps[1]
    assert begins_at(scheduler, scheduler.timesteps[0]) == 0
    end = walk(scheduler, torch.randn(1, 1, 1, 64), 0, "epsilon", torch.Generator())
    assert abs(float(end.mean()) - MEAN) < STD


@pytest.mark.parametrize("begin", [1, 2, 3])
def test_pndm_that_begins_within_its_repeated_step(begin: int) -> None:
    scheduler = build_scheduler(config_for("epsilon") | SKIPS, "pndm", "default", 20)
    scheduler.set_timesteps(20)
    scheduler.set_begin_index(begin)
    ends = step_ends(scheduler, 20, begins_at(scheduler, scheduler.timesteps[begin]))
    calls = len(scheduler.timesteps) - begin
    assert ends == list(range(1 if begin == 1 else 0, calls))
