"""Every family that the manager knows runs under the tap, as bare diffusers runs it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate, prepare_pipeline  # noqa: E402
from studio.engine.previews import Previewer  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from tests.engine.conftest import KINDS, Studio  # noqa: E402
from tests.models import tiny_models  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402
from tests.sweeps import by_default  # noqa: E402

OTHERS = sorted(set(tiny_models.BUILDERS) - set(KINDS))
STEPS = 4
ONE_PREDICTION = {"flux", "lcm"}  # guidance is an input of the denoiser
LEARNED = {
    "flux",
    "sd3",
    "generic",
}  # no colours of their latents are published: previews are learned from finished runs


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("families")
    for kind, build in (tiny_models.BUILDERS | tiny_models.VARIANTS).items():
        if kind not in KINDS:
            build(folder / "models" / kind)
    return Studio(Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")))


# The others have tests of their own by default: of generic pipelines, cascades, few steps; SD 2 is as SD 1 is.
@pytest.mark.parametrize(
    "kind",
    by_default(["consistency", "flux", "sd1-inpaint", "sd3", "sdxl", "sdxl-refiner"], [*OTHERS, *tiny_models.VARIANTS]),
)
def test_a_family_runs_as_bare_diffusers_does_and_shows_its_steps(others: Studio, kind: str, tmp_path: Path) -> None:
    info = others.info(kind)
    assert info.problem is None, info.problem
    request = request_for(others, kind)
    steps: list[TapStep] = []
    with others.loaded(kind) as loaded:
        result = next(iter(generate(request, loaded, on_step=steps.append)))
        previewer = Previewer.for_model(loaded, tmp_path)
        frames = [jpeg for _, _, _, jpeg in previewer.frames(steps[:1])]
        arguments = arguments_of(request, loaded)
        scheduler = type(prepare_pipeline(request, loaded, [request.seed]).scheduler)
    assert [step.index for step in steps] == list(range(request.steps))
    assert all(step.x_t.ndim == 4 and step.x0 is not None and step.x0.shape == step.x_t.shape for step in steps)
    assert bool(frames) == (kind not in LEARNED) and all(frame.startswith(b"\xff\xd8") for frame in frames)
    two_predictions = info.capabilities.guided and request.guidance_scale > 1 and kind not in ONE_PREDICTION
    assert (steps[0].uncond is not None) == two_predictions
    assert not two_predictions or not torch.equal(steps[0].cond, steps[0].uncond)
    bare = bare_image(others.folder(kind), scheduler, arguments, request.seed)
    assert np.array_equal(np.asarray(result.image), bare)


def request_for(studio: Studio, kind: str) -> GenerationRequest:
    info = studio.info(kind)
    steps = min(STEPS, info.defaults.steps)
    prompt = "a red heart" if info.capabilities.prompted else ""
    prompt = "3" if kind == "consistency" else prompt  # that one knows only classes
    return studio.request(kind, prompt=prompt, steps=steps, seed=9)


def bare_image(folder: Path, scheduler: type, arguments: dict[str, Any], seed: int) -> np.ndarray:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    output = pipeline(**arguments | {"output_type": "pil"}, generator=torch.Generator().manual_seed(seed))
    return np.asarray(output.images[0].convert("RGB"))
