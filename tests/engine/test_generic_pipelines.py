"""Flow and transformer pipelines that only the generic family takes: found, told, loaded, run, shown, unloaded.

Each is held against the bare pipeline with the same arguments. What is offered must run, and what a pipeline cannot do is
refused beforehand.
"""

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402
from diffusers.guiders.guider_utils import BaseGuidance  # noqa: E402

from studio.core.errors import Cancelled, InvalidRequest  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.previews import _scale_and_shift, _tiled  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.disk.folders import read_folder  # noqa: E402
from studio.manager.families import family_for  # noqa: E402
from studio.manager.manager import Loaded, Manager, shape_of  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from studio.manager.memory.estimate import folder_weights, stages_for  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.models import generic_models, generic_packed, generic_plain  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402

NAMES = sorted(generic_models.BUILDERS)
STEPS = 2
# Their guidance is a number that the denoiser takes, or none: there are no two predictions to tell apart.
ONE_PREDICTION = {"flux2", "flux2_klein_kv", "flux_kontext", "sana_sprint"}
LONG = {
    "hidream",
    "ideogram4",
}  # one makes pictures of 64 x 64 patches alone, the other reads 2,048 words of any prompt
QUICK = sorted(set(NAMES) - LONG)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("pipelines")
    for name, build in generic_models.BUILDERS.items():
        build(folder / "models" / name)
    generic_packed.flux2_klein(folder / "models/klein-distilled", distilled=True)
    generic_plain.hunyuan_image(folder / "models/hunyuan-distilled", distilled=True)
    return Studio(Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")))


def pixels(studio: Studio, name: str, dtype: str = "fp32", **values: Any) -> np.ndarray:
    [made] = studio.run(name, dtype, **({"steps": STEPS, "guidance_scale": 4.0} | values))
    return np.asarray(made.image).astype(int)


def watched(studio: Studio, name: str, **values: Any) -> list[TapStep]:
    steps: list[TapStep] = []
    studio.run(name, callbacks={"on_step": steps.append}, **({"steps": STEPS} | values))
    return steps


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_the_bare_pipeline_does_and_every_step_is_told(pipelines: Studio, name: str) -> None:
    info = pipelines.info(name)
    assert info.problem is None, info.problem
    request, steps = pipelines.request(name, steps=STEPS, guidance_scale=4.0), list[TapStep]()
    decoded: list[tuple[torch.Tensor, torch.Tensor]] = []
    with pipelines.loaded(name) as loaded:
        watch = {"on_step": steps.append, "on_decode": lambda *pair: decoded.append(pair)}
        [made] = generate(request, loaded, **watch)
        arguments = arguments_of(request, loaded)
        for latents, colours in decoded:
            assert colours.shape[1] == 3
            check_latents(loaded, steps[-1], latents)
    assert len(decoded) == (loaded.family.decoder is not None)
    assert [(step.index, step.total) for step in steps] == [(k, STEPS) for k in range(STEPS)]
    assert all(step.x_t.ndim == 4 and step.x0 is not None and step.x0.shape == step.x_t.shape for step in steps)
    assert made.image.size == (request.width, request.height)
    assert np.asarray(made.image).std() > 1
    bare = diffusers.DiffusionPipeline.from_pretrained(pipelines.folder(name))
    bare.set_progress_bar_config(disable=True)
    for part, guider in bare.components.items():
        if isinstance(guider, BaseGuidance):
            setattr(bare, part, guider.new(guidance_scale=4.0))
    output = bare(**arguments, generator=torch.Generator().manual_seed(request.seed))
    assert np.array_equal(np.asarray(made.image), np.asarray(output.images[0].convert("RGB")))


def check_latents(loaded: Loaded, last: TapStep, latents: torch.Tensor) -> None:
    """What the run ends with is what the decoder is given, so that previews' colours, learned there, are right for steps."""
    scale, shift = _scale_and_shift(
        loaded.components[loaded.family.decoder or ""], loaded.family.latent, loaded.family.cells_first
    )
    assert last.x0 is not None
    ours = last.x0.float() / _tiled(scale, last.x0) + _tiled(shift, last.x0)
    assert torch.allclose(ours, latents.float(), atol=2e-3 * float(latents.abs().max()))


@pytest.mark.parametrize("name", QUICK)
def test_guidance_and_the_negative_prompt_change_the_picture_where_they_are_offered(
    pipelines: Studio, name: str
) -> None:
    info = pipelines.info(name)
    plain = pixels(pipelines, name)
    for scale in (1.0, 9.0):
        assert info.capabilities.guided == (not np.array_equal(plain, pixels(pipelines, name, guidance_scale=scale)))
    if info.capabilities.negative:
        assert not np.array_equal(plain, pixels(pipelines, name, negative_prompt="a blue star"))
    else:
        with pytest.raises(InvalidRequest, match="takes no negative prompt"):
            pixels(pipelines, name, negative_prompt="a blue star")


@pytest.mark.parametrize("name", sorted(set(NAMES) - ONE_PREDICTION - {"hidream"}))
def test_the_conditional_prediction_is_the_one_that_an_unguided_run_makes(pipelines: Studio, name: str) -> None:
    guided = watched(
        pipelines, name, guidance_scale=4.0, negative_prompt="a blue star" * pipelines.info(name).capabilities.negative
    )
    alone = watched(pipelines, name, guidance_scale=1.0)
    cond, uncond, expected = guided[0].cond, guided[0].uncond, alone[0].cond
    assert cond is not None and uncond is not None and expected is not None
    assert float((cond - expected).abs().max()) < 0.1 * float((uncond - expected).abs().max())


@pytest.mark.parametrize("name", sorted(ONE_PREDICTION))
def test_where_there_is_one_prediction_none_is_called_unconditional(pipelines: Studio, name: str) -> None:
    assert all(step.cond is not None and step.uncond is None for step in watched(pipelines, name))


@pytest.mark.parametrize("name", QUICK)
def test_two_together_are_the_two_alone(pipelines: Studio, name: str) -> None:
    seed = pipelines.request(name).seed
    made = pipelines.run(name, steps=STEPS, guidance_scale=4.0, count=2, batch_size=2)
    for k, picture in enumerate(made):
        alone = pixels(pipelines, name, seed=seed + k)
        assert np.abs(np.asarray(picture.image).astype(int) - alone).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_size_is_made_as_asked_or_refused_beforehand(pipelines: Studio, name: str) -> None:
    info = pipelines.info(name)
    side, step = info.defaults.width, info.capabilities.multiple
    if step > 8:
        with pytest.raises(InvalidRequest, match=f"must be a multiple of {step}"):
            pipelines.request(name, width=side + step - 8)
    if info.capabilities.area is None:
        made = pixels(pipelines, name, width=side + step, height=side)
        assert made.shape == (side, side + step, 3)
    else:
        with pytest.raises(
            InvalidRequest, match=r"makes pictures of about 65,536 pixels.* 256x256 is the nearest to 64x64"
        ):
            pipelines.request(name, width=64, height=64)


@pytest.mark.parametrize("name", QUICK)
def test_every_sampler_that_is_offered_runs_and_counts_its_steps(pipelines: Studio, name: str) -> None:
    info = pipelines.info(name)
    offered = legal_samplers(info)
    assert info.defaults.sampler in offered
    for sampler in offered:
        steps = watched(pipelines, name, sampler=sampler, steps=4)
        assert [(step.index, step.total) for step in steps] == [(k, 4) for k in range(4)], sampler


@pytest.mark.parametrize("name", QUICK)
def test_a_cancel_takes_effect_within_one_step(pipelines: Studio, name: str) -> None:
    steps: list[TapStep] = []
    with pytest.raises(Cancelled):
        callbacks = {"on_step": steps.append, "cancelled": lambda: len(steps) >= 1}
        pipelines.run(name, steps=3, callbacks=callbacks)
    assert len(steps) == 1


@pytest.fixture(scope="module")
def tight(pipelines: Studio, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    outputs = tmp_path_factory.mktemp("tight")
    return Studio(Manager(Settings(models=pipelines.manager.settings.models, outputs=outputs, device="cpu")))


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_for_one_stage_leaves_the_picture_as_it_is(
    pipelines: Studio, tight: Studio, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pixels(pipelines, name)
    # So small a model is all working memory; here its weights are to be what does not fit.
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    info, weights = pipelines.info(name), folder_weights(pipelines.folder(name))
    stages = stages_for(family_for(info), weights, shape_of(info, None), "fp32")
    budget = max(sum(part.bytes for part in stage.parts) + stage.activation for stage in stages) + 8192  # buffers
    tight.manager.set_budget(budget)
    tight.manager.ledger.recent.clear()
    for _ in range(2):  # the second run goes back from decoding to encoding
        assert np.array_equal(pixels(tight, name), expected)
    assert "evict" in {row["move"] for row in tight.manager.ledger.recent}
    assert tight.manager.residency.held() <= budget
    tight.manager.unload()
    assert tight.manager.residency.held() == 0


def test_unloading_leaves_no_module_behind(tight: Studio) -> None:
    tight.manager.set_budget(None)
    modules = []
    for name in NAMES:
        with tight.loaded(name) as loaded:
            parts = [part for part in loaded.components.values() if isinstance(part, torch.nn.Module)]
            modules += [(name, weakref.ref(part)) for part in parts]
        del parts, loaded
    tight.manager.unload()
    gc.collect()
    assert [name for name, module in modules if module() is not None] == []


def test_a_part_that_the_folder_leaves_out_is_named_beforehand(pipelines: Studio, tmp_path: Path) -> None:
    """HiDream's fourth text encoder is published by others, under a licence of its own."""
    folder = shutil.copytree(pipelines.folder("hidream"), tmp_path / "hidream")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_4": [None, None]}))
    assert read_folder(folder, "hidream").problem == (
        "Its model_index.json names no text_encoder_4 (LlamaForCausalLM), which HiDreamImage needs; add its folder, and a "
        "line for it there."
    )


def test_steps_that_a_schedule_cannot_be_stretched_over_are_refused(pipelines: Studio) -> None:
    with pytest.raises(InvalidRequest, match="qwen_image needs at least 2 steps"):
        pipelines.request("qwen_image", steps=1)


@pytest.mark.parametrize(("name", "guided"), [("klein-distilled", False), ("hunyuan-distilled", True)])
def test_a_distilled_model_is_offered_no_more_than_it_heeds(pipelines: Studio, name: str, guided: bool) -> None:
    info = pipelines.info(name)
    assert (info.capabilities.guided, info.capabilities.negative) == (guided, False)
    assert info.defaults.steps == (50 if guided else 8)
    assert np.array_equal(pixels(pipelines, name), pixels(pipelines, name, guidance_scale=9.0)) is not guided
