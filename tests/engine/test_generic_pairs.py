"""A prior and a decoder in two folders, as they are published, make the picture that they make in one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from studio import compat

compat.prepare()

from studio.core.models import ModelInfo  # noqa: E402
from studio.core.options import resolve  # noqa: E402
from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from studio.manager.memory.planning import Shape, forecast  # noqa: E402
from tests.models.generic_unets import UNETS  # noqa: E402

# whole -> (the decoder's pipeline, the prior's, what their folders are called)
PAIRS = {
    "KandinskyCombinedPipeline": ("KandinskyPipeline", "KandinskyPriorPipeline", "kandinsky-2-1"),
    "KandinskyV22CombinedPipeline": ("KandinskyV22Pipeline", "KandinskyV22PriorPipeline", "kandinsky-2-2"),
    "StableCascadeCombinedPipeline": ("StableCascadeDecoderPipeline", "StableCascadePriorPipeline", "stable-cascade"),
    "WuerstchenCombinedPipeline": ("WuerstchenDecoderPipeline", "WuerstchenPriorPipeline", "wuerstchen"),
}


def split(whole: Path, models: Path) -> tuple[Path, Path]:
    """(decoder, prior) with the parts of `whole`."""
    index = json.loads((whole / "model_index.json").read_text())
    decoder_class, prior_class, name = PAIRS[index["_class_name"]]
    folders = {"": models / name, "prior_": models / f"{name}-prior"}
    told: dict[str, dict[str, object]] = {
        "": {"_class_name": decoder_class, "latent_dim_scale": 10.67},
        "prior_": {"_class_name": prior_class, "resolution_multiple": 42.67},
    }
    for part, value in index.items():
        if isinstance(value, list):
            before = "prior_" if part.startswith("prior_") else ""
            told[before][part.removeprefix(before)] = value
            if (whole / part).is_dir():
                shutil.copytree(whole / part, folders[before] / part.removeprefix(before))
    for before, folder in folders.items():
        (folder / "model_index.json").write_text(json.dumps(told[before]))
    return folders[""], folders["prior_"]


def manager_for(models: Path, outputs: Path) -> Manager:
    return Manager(Settings(models=(models,), outputs=outputs, device="cpu"))


def info_of(manager: Manager, name: str) -> ModelInfo:
    return next(info for info in manager.catalog.models() if info.id == name)


def picture(manager: Manager, info: ModelInfo) -> np.ndarray:
    request = resolve(
        GenerationRequest(model=info.id, prompt="a red heart", steps=2, seed=5, width=128, height=128), info
    )
    with manager.lease(info, "fp32", request=request) as loaded:
        return np.asarray(next(iter(generate(request, loaded))).image)


@pytest.mark.parametrize("whole", PAIRS)
def test_two_folders_are_one_model(whole: str, tmp_path: Path) -> None:
    together = UNETS[whole](tmp_path / "whole" / "m")
    decoder, prior = split(together, tmp_path / "halves")
    one, two = manager_for(tmp_path / "whole", tmp_path / "one"), manager_for(tmp_path / "halves", tmp_path / "two")
    info = info_of(two, decoder.name)
    assert (info.problem, info.pipeline, info.family, info.title) == (
        None,
        whole,
        "generic",
        decoder.name,
    )
    assert np.array_equal(picture(one, info_of(one, "m")), picture(two, info))
    assert "first half of a pair" in (info_of(two, prior.name).problem or "")
    path = two.catalog.path(info.id)
    assert path is not None
    told = forecast(info, path, 1 << 30, Shape(128, 128), "fp32", "cpu")
    assert any("prior" in part.key for stage in told.stages for part in stage.parts)


def test_a_decoder_alone_says_what_it_lacks_and_is_whole_once_that_is_here(tmp_path: Path) -> None:
    decoder, prior = split(UNETS["KandinskyV22CombinedPipeline"](tmp_path / "whole"), tmp_path / "models")
    prior.rename(tmp_path / "elsewhere")
    manager = manager_for(tmp_path / "models", tmp_path / "out")
    assert info_of(manager, decoder.name).problem == (
        "It is the second half of a pair, and makes no picture without the first: a folder of KandinskyV22PriorPipeline, "
        "which is not here."
    )
    (tmp_path / "elsewhere").rename(prior)
    assert info_of(manager, decoder.name).problem is None
    (prior / "prior/modeling.py").write_text("print('settings_message')")
    assert "Python code" in (info_of(manager, decoder.name).problem or "")
