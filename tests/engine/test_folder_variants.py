"""A diffusers folder in the forms that people have it: half precision alone, in shards, without the parts nobody loads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat
from studio.core.models import ModelInfo
from studio.core.options import resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.manager import Manager
from tests.models import components, tiny_models
from tests.sweeps import by_default

compat.prepare()
import torch  # noqa: E402

from studio.engine.generate import generate  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("source") / "sd")


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    shutil.copytree(source, tmp_path / "models/sd")
    return tmp_path / "models/sd"


def half_precision_alone(folder: Path) -> None:
    """`--include "*.fp16.safetensors"`: the files whose names say so, and no others."""
    from safetensors.torch import load_file, save_file

    for file in folder.glob("*/*.safetensors"):
        save_file(
            {k: t.half() for k, t in load_file(file).items()}, file.with_suffix(".fp16.safetensors"), {"format": "pt"}
        )
        file.unlink()


def in_shards(folder: Path) -> None:
    unet = components.unet().from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", max_shard_size="200KB")
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2


def without_the_safety_checker(folder: Path) -> None:
    """The index names it and its folder was left out of the download."""
    change(
        folder,
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )


def with_nulls(folder: Path) -> None:
    change(folder, feature_extractor=[None, None], image_encoder=[None, None], safety_checker=None)


def from_an_older_release(folder: Path) -> None:
    """Published before transformers 5: old names for tokenizers and a version that is long gone."""
    change(folder, _diffusers_version="0.6.0")
    config = folder / "unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_diffusers_version": "0.6.0", "unheard_of": 3}))


@pytest.mark.parametrize(
    "form",
    by_default(
        [half_precision_alone, in_shards, from_an_older_release],
        [half_precision_alone, in_shards, without_the_safety_checker, with_nulls, from_an_older_release],
    ),
)
def test_a_folder_makes_the_same_picture_in_any_form(form: Callable[[Path], None], folder: Path, source: Path) -> None:
    form(folder)
    info, made = picture(folder)
    _, wanted = picture(source)
    assert info.capabilities.tasks[0] == "text_to_image"
    off = np.abs(made.astype(int) - wanted.astype(int)).max()
    assert off <= (3 if form is half_precision_alone else 0)


def only_pickles(folder: Path) -> None:
    for file in folder.glob("unet/*.safetensors"):
        torch.save({}, file.with_suffix(".bin"))
        file.unlink()


def code_of_its_own(folder: Path) -> None:
    change(folder, _class_name=["pipeline.py", "MyPipeline"])


def a_class_of_nobody(folder: Path) -> None:
    change(folder, _class_name="MyOwnPipeline")


def a_shard_missing(folder: Path) -> None:
    in_shards(folder)
    next(iter(sorted((folder / "unet").glob("*.safetensors")))).unlink()


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (only_pickles, "Its unet holds only pickle files, which are not read; fetch its safetensors files."),
        (code_of_its_own, "pipelines with own code are not run"),
        (a_class_of_nobody, "MyOwnPipeline is not a pipeline of the installed diffusers"),
        (a_shard_missing, "Its unet is incomplete"),
    ],
)
def test_a_form_that_is_not_read_says_why(form: Callable[[Path], None], reason: str, folder: Path) -> None:
    form(folder)
    (info,) = manager_of(folder).catalog.models()
    assert reason in (info.problem or "")


def change(folder: Path, **values: Any) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | values))


def manager_of(folder: Path) -> Manager:
    return Manager(Settings(models=(folder.parent,), outputs=folder.parent.parent / "out", device="cpu"))


def picture(folder: Path) -> tuple[ModelInfo, np.ndarray]:
    manager = manager_of(folder)
    (info,) = manager.catalog.models()
    assert info.problem is None, info.problem
    request = resolve(GenerationRequest(model=info.id, prompt="a red heart", steps=3, seed=4), info)
    with manager.lease(info, "fp32") as loaded:
        return info, np.asarray(next(iter(generate(request, loaded))).image)
