"""The studio's pictures are those of bare diffusers, bit for bit; an image hangs on its own seed and on nothing else."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core.errors import InvalidRequest, NonFinite, StudioError  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.recipe import pixel_hash  # noqa: E402
from studio.core.samplers import SOLVERS  # noqa: E402
from studio.engine.generate import batches, generate  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.sweeps import by_default, one_in, shares  # noqa: E402

# Arguments of the stock pipelines' own calls, written out as a person would who had only diffusers.
BARE_CALLS: dict[str, dict[str, Any]] = {
    "sd1": {"prompt": "a red heart", "negative_prompt": "blue", "guidance_scale": 5.0, "width": 128, "height": 128},
    "pixart": {
        "prompt": "a red heart",
        "negative_prompt": "blue",
        "guidance_scale": 5.0,
        "width": 128,
        "height": 128,
        "use_resolution_binning": False,
        "clean_caption": False,
    },
    "ddpm": {},
    "dit": {"class_labels": [3], "guidance_scale": 5.0},
}


@functools.cache
def bare_pipeline(folder: Path) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, pipeline.scheduler.config


def bare(studio: Studio, name: str, sampler: str, steps: int, seed: int, **options: Any) -> np.ndarray:
    """What diffusers alone makes: from_pretrained, a scheduler swapped by from_config, a generator."""
    pipeline, config = bare_pipeline(studio.folder(name))
    pipeline.scheduler = getattr(diffusers, SOLVERS.get(sampler).scheduler).from_config(config, **options)
    generator = torch.Generator().manual_seed(seed)
    call = BARE_CALLS[name]
    return np.asarray(pipeline(**call, num_inference_steps=steps, generator=generator).images[0].convert("RGB"))


def ours(studio: Studio, name: str, **values: Any) -> np.ndarray:
    if name in ("sd1", "pixart"):
        values = {"negative_prompt": "blue", "guidance_scale": 5.0} | values
    if name == "dit":
        values = {"guidance_scale": 5.0} | values
    return np.asarray(studio.run(name, **values)[0].image)


@pytest.mark.parametrize(
    ("name", "sampler"),
    by_default(
        [
            ("sd1", "ddim"),
            ("sd1", "euler_a"),
            ("sd1", "heun"),
            ("pixart", "dpmpp_2m"),
            ("ddpm", "ddpm"),
            ("dit", "ddim"),
        ],
        [
            ("sd1", "ddim"),
            ("sd1", "euler"),
            ("sd1", "euler_a"),
            ("sd1", "heun"),
            ("sd1", "dpmpp_2m"),
            ("sd1", "pndm"),
            ("sd1", "unipc"),
            ("sd1", "sa_solver"),
            ("pixart", "dpmpp_2m"),
            ("pixart", "dpm2_a"),
            ("pixart", "euler_a"),
            ("ddpm", "ddpm"),
            ("dit", "ddim"),
        ],
    ),
)
def test_bit_identical_to_bare_diffusers(studio: Studio, name: str, sampler: str) -> None:
    steps = 10 if sampler == "dpm2_a" else 6
    expected = bare(studio, name, sampler, steps, 42)
    assert np.array_equal(ours(studio, name, sampler=sampler, steps=steps, seed=42), expected)


def test_nearly_identical_with_karras_sigmas(studio: Studio) -> None:
    """The levels are diffusers'; the timesteps are not rounded to whole numbers, as diffusers has them."""
    expected = bare(studio, "sd1", "dpmpp_2m", 8, 5, use_karras_sigmas=True).astype(int)
    made = ours(studio, "sd1", sampler="dpmpp_2m", spacing="karras", steps=8, seed=5).astype(int)
    assert 0 < np.abs(made - expected).max() <= 8


def test_bit_identical_with_a_spacing_that_diffusers_lays_out_as_it_is_defined(studio: Studio) -> None:
    expected = bare(studio, "sd1", "euler", 8, 5, timestep_spacing="trailing")
    assert np.array_equal(ours(studio, "sd1", sampler="euler", spacing="trailing", steps=8, seed=5), expected)


def test_bit_identical_where_the_scheduler_draws_its_own_noise(studio: Studio) -> None:
    """DPM++ SDE takes no generator; bare diffusers is repeatable only with its noise_sampler_seed, and that is the image's seed."""
    expected = bare(studio, "sd1", "dpmpp_sde", 6, 11, noise_sampler_seed=11)
    assert np.array_equal(ours(studio, "sd1", sampler="dpmpp_sde", steps=6, seed=11), expected)


@pytest.mark.parametrize(
    "sampler", one_in(4, ["euler_a", "dpm_adaptive", "dpmpp_2s_a", "ddpm", "dpmpp_sde", "sa_solver", "dpmpp_2m_sde"])
)
def test_image_k_of_a_batch_is_the_image_of_seed_plus_k(studio: Studio, sampler: str) -> None:
    """Up to the order in which a kernel sums a batch, which may move a pixel by one step of 255."""
    together = studio.run("sd1", sampler=sampler, steps=5, seed=100, count=3, batch_size=3)
    assert [(result.seed, result.index) for result in together] == [(100, 0), (101, 1), (102, 2)]
    alone = studio.run("sd1", sampler=sampler, steps=5, seed=102)[0]
    gap = np.abs(np.asarray(alone.image, dtype=int) - np.asarray(together[2].image, dtype=int))
    assert gap.max() <= 1


@pytest.mark.parametrize("name", one_in(4, ["pixart", "sd1", "dit", "ddpm"]))
def test_initial_noise_is_bitwise_that_of_the_seed_whatever_the_batch(studio: Studio, name: str) -> None:
    def first_states(**values: Any) -> list[torch.Tensor]:
        steps: list[Any] = []
        studio.run(name, callbacks={"on_step": steps.append}, **values)
        return [row for step in steps if step.index == 0 for row in step.x_t]

    together = first_states(seed=7, count=3, batch_size=2)
    alone = [first_states(seed=7 + k)[0] for k in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("name", "dtype"),
    one_in(3, ((name, dtype) for name in ("pixart", "ddpm", "dit", "sd1") for dtype in ("bf16", "fp16"))),
)
def test_half_precision_makes_nearly_the_same_picture(studio: Studio, name: str, dtype: str) -> None:
    full, half = (np.asarray(studio.run(name, dtype=d, sampler="ddim")[0].image, dtype=float) for d in ("fp32", dtype))
    assert 0 < np.abs(full - half).mean() < 12


def test_count_without_a_batch_is_exact(studio: Studio) -> None:
    three = studio.run("sd1", seed=20, count=3)
    assert three[2].recipe.pixels == studio.run("sd1", seed=22)[0].recipe.pixels


@pytest.mark.parametrize("share", shares(6))
def test_every_legal_sampler_runs_on_a_real_pipeline(studio: Studio, share: int) -> None:
    """A picture, and as many steps reported as were asked for."""
    for sampler in legal_samplers(studio.info("sd1"))[share::6]:
        steps: list[Any] = []
        result = studio.run("sd1", callbacks={"on_step": steps.append}, sampler=sampler, steps=4)[0]
        asked = len(steps) if SOLVERS.get(sampler).adaptive else 4
        assert [s.index for s in steps] == list(range(asked)) and steps[-1].total == asked, sampler
        assert np.asarray(result.image).std() > 0


def test_pixart_can_do_one_step(studio: Studio) -> None:
    """Its pipeline reads a predicted x0 at one step, which multistep schedulers do not give; the tap does."""
    assert studio.run("pixart", sampler="dpmpp_2m", spacing="trailing", steps=1)[0].image.size == (128, 128)


def test_batches_cover_every_image_once(studio: Studio) -> None:
    assert batches(studio.request("sd1", count=5, batch_size=2)) == [(0, 1), (2, 3), (4,)]


def test_the_recipe_says_what_decided_the_pixels(studio: Studio) -> None:
    result = studio.run("sd1", sampler="euler", seed=3)[0]
    recipe = result.recipe
    assert recipe.scheduler == "EulerDiscreteScheduler"
    assert recipe.pipeline == "StableDiffusionPipeline"
    assert recipe.dtype == "fp32"
    assert {"unet", "vae", "text_encoder"} <= set(recipe.weights)
    assert recipe.libraries["diffusers"] == diffusers.__version__
    assert recipe.pixels == pixel_hash("RGB", result.image.size, result.image.tobytes())


def test_guidance_rescale_is_honoured_or_refused(studio: Studio) -> None:
    plain = studio.run("sd1", guidance_scale=8.0)[0].recipe.pixels
    assert studio.run("sd1", guidance_scale=8.0, guidance_rescale=0.7)[0].recipe.pixels != plain
    with pytest.raises(InvalidRequest) as refused:
        studio.run("pixart", guidance_rescale=0.7)
    assert refused.value.field == "guidance_rescale"


def test_a_model_that_gives_nan_stops_the_job_and_no_picture_comes(studio: Studio) -> None:
    request = studio.request("sd1")
    with studio.loaded("sd1") as loaded:
        weight = next(loaded.components["unet"].parameters())
        kept = weight.clone()
        try:
            weight.fill_(float("nan"))
            with pytest.raises(NonFinite, match="step 1"):
                list(generate(request, loaded))
        finally:
            weight.copy_(kept)
        assert next(iter(generate(request, loaded))).image is not None


def test_a_decoder_that_overflows_in_half_precision_decodes_in_fp32(studio: Studio) -> None:
    """fp16 ends at 65,504; a decoder whose inside goes beyond gives NaN there and a picture in fp32."""
    request = studio.request("sd1", dtype="fp16", steps=4)
    with studio.loaded("sd1", "fp16") as loaded:
        vae = loaded.components["vae"]
        *_, widening, last = (m for m in vae.decoder.modules() if isinstance(m, torch.nn.Conv2d))
        kept = [module.weight.clone() for module in (widening, last)]
        try:
            widening.weight.fill_(60_000.0)
            last.weight.mul_(1e-5)
            result = next(iter(generate(request, loaded)))
        finally:
            for module, weight in zip((widening, last), kept, strict=True):
                module.weight.copy_(weight)
        assert any("fp32" in note for note in result.recipe.notes)
        assert {parameter.dtype for parameter in vae.parameters()} == {torch.float16}
        assert "decode" not in vars(vae)


def test_a_picture_withheld_by_a_safety_checker_is_no_result(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def withhold(self: Any, image: Any, *args: Any) -> Any:
        return torch.zeros_like(image), [True] * len(image)

    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "run_safety_checker", withhold)
    with pytest.raises(StudioError, match="withheld"):
        studio.run("sd1")
