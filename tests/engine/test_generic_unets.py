"""Pipelines that only the generic family takes, of U-Nets, priors and tokens: found, told, loaded, run, unloaded.

Held against the bare pipeline with the same arguments, which is made by hand: diffusers itself no longer finds the
classes of some of them. What each one is offered must run, and what cannot is refused beforehand.
"""

import gc
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core.errors import Cancelled, InvalidRequest  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.previews import Previewer  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.loading import component_class  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.generic_unets import UNETS  # noqa: E402

STEPS = 2
# Pipelines of several loops: the steps that are not the person's to choose.
OTHER_STEPS = {
    "KandinskyCombinedPipeline": 25,
    "KandinskyV22CombinedPipeline": 25,
    "StableCascadeCombinedPipeline": 12,
    "WuerstchenCombinedPipeline": 12,
    "UnCLIPPipeline": 25 + 7,
}
REFUSED = {
    "StableDiffusionParadigmsPipeline": "denoises many steps at once, so that none of them could be shown or stopped"
}
RUN = sorted(UNETS.keys() - REFUSED.keys())


@pytest.fixture(scope="module")
def unets(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("unets")
    for name, build in UNETS.items():
        build(folder / "models" / name)
    return Studio(Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")))


@pytest.mark.parametrize("name", RUN)
def test_it_runs_as_the_bare_pipeline_does_and_every_step_is_told(unets: Studio, name: str, tmp_path: Path) -> None:
    info = unets.info(name)
    assert info.problem is None, info.problem
    request, steps = unets.request(name, steps=STEPS), list[TapStep]()
    with unets.loaded(name) as loaded:
        [made] = generate(request, loaded, on_step=steps.append)
        arguments = loaded.family.call_arguments(request, loaded.pipeline(), 1)
        frames = [jpeg for _, _, _, jpeg in Previewer.for_model(loaded, tmp_path).frames(steps)]
    total = STEPS + OTHER_STEPS.get(name, 0)
    assert [(step.index, step.total) for step in steps] == [(k, total) for k in range(total)]
    assert made.image.size == (request.width, request.height)
    assert all(frame.startswith(b"\xff\xd8") for frame in frames)
    bare = bare_pipeline(unets.folder(name))
    output = bare(**arguments, generator=torch.Generator().manual_seed(request.seed))
    assert np.array_equal(np.asarray(made.image), np.asarray(output.images[0].convert("RGB")))


def bare_pipeline(folder: Path) -> Any:
    index = json.loads((folder / "model_index.json").read_text())
    parts = {}
    for name, value in index.items():
        if isinstance(value, list):
            parts[name] = component_class(*value).from_pretrained(folder / name) if value[0] else None
        elif not name.startswith("_"):
            parts[name] = value
    pipeline = getattr(diffusers, index["_class_name"])(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_followed_is_refused(unets: Studio, name: str) -> None:
    assert REFUSED[name] in (unets.info(name).problem or "")
