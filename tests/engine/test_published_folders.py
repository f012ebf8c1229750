"""Folders of the named families as their publishers have them: schedulers that no other can stand in for, old class names,
halves of the newest transformers in shards. Each runs as diffusers runs it, with what it is best used with.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core.errors import InvalidRequest  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.models import tiny_models  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402
from tests.sweeps import one_in  # noqa: E402

EDM = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}


def playground(folder: Path) -> None:
    """Playground v2.5: SDXL's shape trained as EDM, its latents normed channel by channel."""
    tiny_models.stable_diffusion_xl(folder)
    scheduled(folder, "EDMDPMSolverMultistepScheduler", **EDM)
    change(folder / "vae/config.json", latents_mean=[-1.6, 1.9, -1.4, 2.5], latents_std=[8.5, 5.9, 6.5, 5.2])


def cosxl(folder: Path) -> None:
    tiny_models.stable_diffusion_xl(folder)
    scheduled(folder, "EDMEulerScheduler", **EDM, prediction_type="v_prediction")


def merged_with_lcm(folder: Path) -> None:
    tiny_models.stable_diffusion_xl(folder)
    scheduled(folder, "LCMScheduler", beta_schedule="scaled_linear")


def pixart_lcm(folder: Path) -> None:
    tiny_models.pixart(folder)
    scheduled(folder, "LCMScheduler", beta_schedule="linear")


def pixart_sigma(folder: Path) -> None:
    """At 2K: positions four times as far apart."""
    tiny_models.pixart_sigma(folder, interpolation_scale=4)


def sd35_medium(folder: Path) -> None:
    """A second attention in some blocks, normed queries and keys, in shards."""
    tiny_models.stable_diffusion_3(folder)
    transformer = diffusers.SD3Transformer2DModel.from_pretrained(folder / "transformer").config
    shutil.rmtree(folder / "transformer")
    torch.manual_seed(0)
    made = diffusers.SD3Transformer2DModel.from_config(
        {**transformer, "dual_attention_layers": [0], "qk_norm": "rms_norm"}
    )
    made.save_pretrained(folder / "transformer", max_shard_size="60KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1


def old_names(folder: Path) -> None:
    tiny_models.stable_diffusion(folder)
    change(
        folder / "model_index.json",
        feature_extractor=["transformers", "CLIPFeatureExtractor"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        tokenizer=["transformers", "CLIPTokenizerFast"],
        _diffusers_version="0.0.4",
    )


# folder -> (how it comes to be, its sampler, steps and CFG, whether others may be chosen)
PUBLISHED: dict[str, tuple[Callable[[Path], None], str, int, float, bool]] = {
    "playground-v2.5-1024px-aesthetic": (playground, "own", 25, 3.0, False),
    "cosxl": (cosxl, "own", 25, 6.0, False),
    "my-merge": (merged_with_lcm, "lcm", 6, 1.5, True),
    "PixArt-LCM-XL-2-1024-MS": (pixart_lcm, "lcm", 4, 1.0, True),
    "PixArt-Sigma-XL-2-2K-MS": (pixart_sigma, "dpmpp_2m", 20, 4.5, True),
    "stable-diffusion-3.5-medium": (sd35_medium, "flow_euler", 28, 5.0, True),
    "old": (old_names, "dpmpp_2m", 20, 7.0, True),
}


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def scheduled(folder: Path, scheduler: str, **config: Any) -> None:
    shutil.rmtree(folder / "scheduler")
    getattr(diffusers, scheduler)(**config).save_pretrained(folder / "scheduler")
    change(folder / "model_index.json", scheduler=["diffusers", scheduler])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("published")
    for name, (build, *_) in PUBLISHED.items():
        build(folder / "models" / name)
    return Studio(Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")))


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_used_as_its_publisher_has_it(published: Studio, name: str) -> None:
    _, sampler, steps, guidance, others = PUBLISHED[name]
    info = published.info(name)
    assert info.problem is None
    assert (info.defaults.sampler, info.defaults.steps, info.defaults.guidance_scale) == (sampler, steps, guidance)
    assert (len(legal_samplers(info)) > 1) is others
    if not others:
        with pytest.raises(InvalidRequest, match="It takes: own"):
            published.request(name, sampler="euler")


@pytest.mark.parametrize("name", one_in(2, PUBLISHED))
def test_it_makes_what_diffusers_makes_of_it(published: Studio, name: str) -> None:
    request, steps = published.request(name, steps=3), list[TapStep]()
    with published.loaded(name) as loaded:
        [made] = generate(request, loaded, on_step=steps.append)
        arguments = arguments_of(request, loaded)
    assert len(steps) == 3
    assert all(step.x0 is not None and step.x0.shape == step.x_t.shape for step in steps)
    bare = (
        diffusers.DiffusionPipeline.from_pretrained(published.folder(name), safety_checker=None, feature_extractor=None)
        if name == "old"
        else diffusers.DiffusionPipeline.from_pretrained(published.folder(name))
    )
    bare.set_progress_bar_config(disable=True)
    if made.recipe.scheduler != type(bare.scheduler).__name__:
        bare.scheduler = getattr(diffusers, made.recipe.scheduler).from_config(bare.scheduler.config)
    output = bare(**arguments, generator=torch.Generator().manual_seed(request.seed))
    assert np.array_equal(np.asarray(made.image), np.asarray(output.images[0].convert("RGB")))


def test_the_clean_picture_that_an_edm_model_predicts_is_its_schedulers_own(published: Studio) -> None:
    """Karras et al. 2022, equation 7, with the noise level that the state really has."""
    steps: list[TapStep] = []
    published.run("playground-v2.5-1024px-aesthetic", callbacks={"on_step": steps.append}, steps=4)
    assert [round(step.sigma or 0, 3) for step in steps] == sorted(
        (round(s.sigma or 0, 3) for s in steps), reverse=True
    )
    assert steps[0].sigma == pytest.approx(80.0)
    assert float(steps[-1].x0.std()) < float(steps[0].x_t.std())  # type: ignore[union-attr]
