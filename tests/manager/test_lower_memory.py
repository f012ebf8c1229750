"""A budget that holds no stage as it was asked for: less at a time, tiles last, and never more than the budget."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.cli.models import plan_table
from studio.core.errors import OutOfMemory
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.families import FAMILIES
from studio.manager.memory import estimate
from studio.manager.memory.estimate import Run, Shape, Weights
from studio.manager.memory.fallbacks import SINGLE, SLICE, TILE, decoder_config, tile_pixels, tile_sizes, variants
from studio.manager.memory.planning import forecast
from tests.models import components, tiny_models

compat.prepare()

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

SD1 = FAMILIES.get("sd1")
KL = {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512], "sample_size": 512}
UNET = Weights(1000, 10, {"block_out_channels": [320]})


def run_of(shape: Shape, decoder: dict[str, Any] | None) -> Run:
    return Run(SD1, {"unet": UNET} | ({"vae": Weights(1000, 10, decoder)} if decoder else {}), shape, "fp32")


def working(run: Run) -> tuple[int, ...]:
    return tuple(stage.activation for stage in run.stages())


def test_what_costs_no_pixel_comes_first() -> None:
    found = {
        names: tuple(stage.activation for stage in stages)
        for names, stages in variants(run_of(Shape(1024, 1024, 4), KL))
    }
    assert list(found) == [(), (SLICE,), (SINGLE,), (SLICE, TILE), (SLICE, TILE, SINGLE)]
    (batch, _), (one, image) = working(run_of(Shape(1024, 1024, 4), KL)), working(run_of(Shape(1024, 1024), KL))
    tile = working(run_of(Shape(512, 512), KL))[1]
    assert found[(SLICE,)] == (batch, image)
    assert found[(SINGLE,)] == (one, image)
    assert found[(SLICE, TILE)][0] == batch and found[(SLICE, TILE, SINGLE)][0] == one
    assert tile < found[(SLICE, TILE)][1] < image // 2  # a tile, and the picture that is being joined
    assert [names for names, _ in variants(run_of(Shape(1024, 1024), KL))] == [(), (TILE,)]


def test_what_knows_no_tiles_is_only_made_one_by_one() -> None:
    assert [names for names, _ in variants(run_of(Shape(64, 64, batch=2), None))] == [(), (SINGLE,)]
    assert [names for names, _ in variants(run_of(Shape(64, 64), {"_class_name": "AutoencoderOobleck"}))] == [()]


@pytest.mark.parametrize("pixels", [32, 48, 64, 128, 512, 1024])
@pytest.mark.parametrize("build", [components.vae_kl, components.vae_tiny])
def test_the_tiles_that_are_planned_are_those_that_are_cut(build: object, pixels: int) -> None:
    vae = build()  # type: ignore[operator]
    sizes = tile_sizes(vae, pixels)
    cut = None if sizes is None else sizes.get("tile_sample_min_size", vae.tile_sample_min_size)
    assert tile_pixels(dict(vae.config) | {"_class_name": type(vae).__name__}, pixels) == cut


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd", vae="kl")
    yield root


def made(models: Path, outputs: Path, budget: int | None, **values: int) -> list[Result]:
    manager = Manager(Settings(models=(models,), outputs=outputs, device="cpu", memory_budget=budget))
    info = find_model(manager.catalog.models(), "sd")
    asked = GenerationRequest(model="sd", prompt="a red heart", steps=2, seed=1, **values)  # type: ignore[arg-type]
    request = resolve(asked, info)
    with manager.lease(info, "fp32", request=request) as loaded:
        return list(generate(request, loaded))


def peak(models: Path, shape: Shape) -> int:
    """What the forecast says that a run takes at the least, without any budget to save for."""
    manager = Manager(Settings(models=(models,), outputs=models / ".out", device="cpu"))
    info, path = find_model(manager.catalog.models(), "sd"), models / "sd"
    planned = forecast(info, path, 1 << 40, shape, "fp32", "cpu")
    return max(stage.activation + sum(part.bytes for part in stage.parts) for stage in planned.stages) + (64 << 10)


def test_a_batch_that_the_budget_does_not_hold_is_made_one_by_one(models: Path, tmp_path: Path) -> None:
    budget = peak(models, Shape(32, 32, 1))
    assert budget < peak(models, Shape(32, 32, 4))
    results = made(models, tmp_path, budget, width=32, height=32, count=4, batch_size=4)
    assert [result.recipe.notes for result in results] == 4 * [("denoised one image at a time",)]
    free = made(models, tmp_path / "free", None, width=32, height=32)
    assert free[0].recipe.pixels == results[0].recipe.pixels


def test_the_forecast_says_what_a_run_will_have_to_do(models: Path) -> None:
    manager = Manager(Settings(models=(models,), outputs=models / ".out", device="cpu"))
    info = find_model(manager.catalog.models(), "sd")
    planned = forecast(info, models / "sd", peak(models, Shape(128, 128, 1)), Shape(128, 128, 4), "fp32", "cpu")
    assert planned.notes == ("denoised one image at a time",)
    assert plan_table(planned).endswith("denoised one image at a time")
    with pytest.raises(OutOfMemory, match="Raise the budget"):
        forecast(info, models / "sd", 1 << 20, Shape(128, 128, 4), "fp32", "cpu")


def test_a_decoder_that_the_budget_does_not_hold_decodes_in_tiles(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tiny U-Net is hungrier than its autoencoder; real ones are not.
    monkeypatch.setattr(estimate, "UNET_ELEMENTS", 1)
    monkeypatch.setattr(estimate, "KL_ELEMENTS", 60)
    budget = peak(models, Shape(48, 48))
    (result,) = made(models, tmp_path, budget, width=64, height=64)
    assert result.recipe.notes == ("decoded in tiles",)


def test_a_single_file_s_autoencoder_is_known_by_its_family() -> None:
    config = decoder_config(Run(SD1, {"vae": Weights(1000, 10, SD1.blueprint.configs["vae"])}, Shape(64, 64), "fp32"))
    assert tile_pixels(config, 1024) == 512
