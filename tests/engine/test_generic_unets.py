"""Pipelines that only the generic family takes, of U-Nets, priors and tokens: found, told, loaded, run, unloaded.

Held against the bare pipeline with the same arguments, which is made by hand: diffusers itself no longer finds the
classes of some of them. What each one is offered must run, and what cannot is refused beforehand.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import PIL.Image  # noqa: E402
import torch  # noqa: E402

from studio.core.errors import Cancelled, InvalidRequest  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.precision import choose  # noqa: E402
from studio.engine.previews import Previewer  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.loading import component_class  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402
from tests.models.generic_unets import UNETS, latent_unconditional  # noqa: E402

STEPS = 2
BUFFERS = 8192  # bytes that a model has beside what its files hold
SHAPE = estimate.Shape(32, 32)
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
ALWAYS_GUIDED = {"HunyuanDiTPAGPipeline"}
# One of each kind of offer: any sampler, none that scales its input, none but those that can be copied, or ask once a step.
OFFERED = (
    "KandinskyCombinedPipeline", "KandinskyV22CombinedPipeline", "SemanticStableDiffusionPipeline",
    "StableDiffusionPanoramaPipeline", "UniDiffuserPipeline", "WuerstchenCombinedPipeline",
)  # fmt: skip
# Of parts that others do not have: two loops and more, codes read before decoding, methods called in place of forwards.
ODD = (
    "KandinskyCombinedPipeline", "KandinskyV22CombinedPipeline", "KolorsPipeline", "LDMTextToImagePipeline", "OmniGenPipeline",
    "StableCascadeCombinedPipeline", "UnCLIPPipeline", "UniDiffuserPipeline", "VQDiffusionPipeline",
    "VersatileDiffusionTextToImagePipeline",
)  # fmt: skip
RUN = sorted(UNETS.keys() - REFUSED.keys())
LARGE = {"Kandinsky5T2IPipeline"}  # makes nothing small
SMALL = sorted(set(RUN) - LARGE)


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
        arguments = arguments_of(request, loaded)
        frames = [jpeg for _, _, _, jpeg in Previewer.for_model(loaded, tmp_path).frames(steps)]
    total = STEPS + OTHER_STEPS.get(name, 0)
    assert [(step.index, step.total) for step in steps] == [(k, total) for k in range(total)]
    assert made.image.size == (request.width, request.height)
    assert all(frame.startswith(b"\xff\xd8") for frame in frames)
    bare = bare_pipeline(unets.folder(name))
    output = bare(**arguments, generator=torch.Generator().manual_seed(request.seed))
    assert np.array_equal(np.asarray(made.image), np.asarray(output[0][0].convert("RGB")))


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


@pytest.mark.parametrize("name", SMALL)
def test_guidance_and_the_negative_prompt_change_the_picture_where_they_are_offered(unets: Studio, name: str) -> None:
    info = unets.info(name)
    assert info.capabilities.guided
    plain = pixels(unets, name, guidance_scale=9.0)
    if name in ALWAYS_GUIDED:
        with pytest.raises(InvalidRequest, match="CFG above 1"):
            pixels(unets, name, guidance_scale=1.0)
    assert not np.array_equal(plain, pixels(unets, name, guidance_scale=2.0 if name in ALWAYS_GUIDED else 1.0))
    if info.capabilities.negative:
        assert not np.array_equal(plain, pixels(unets, name, guidance_scale=9.0, negative_prompt="blue star"))
    else:
        with pytest.raises(InvalidRequest, match="negative prompt"):
            pixels(unets, name, negative_prompt="blue star")


def pixels(studio: Studio, name: str, dtype: str = "fp32", **values: Any) -> np.ndarray:
    [made] = studio.run(name, dtype, **({"steps": STEPS} | values))
    return np.asarray(made.image).astype(int)


@pytest.mark.parametrize("name", SMALL)
def test_two_together_are_the_two_alone(unets: Studio, name: str) -> None:
    together = [np.asarray(made.image).astype(int) for made in unets.run(name, steps=STEPS, count=2, batch_size=2)]
    seed = unets.request(name).seed
    for k, picture in enumerate(together):
        assert np.abs(picture - pixels(unets, name, seed=seed + k)).max() <= 1


@pytest.mark.parametrize("name", SMALL)
def test_a_cancel_is_heard_in_every_loop(unets: Studio, name: str) -> None:
    total = STEPS + OTHER_STEPS.get(name, 0)
    for last in {1, total - 1}:
        seen: list[TapStep] = []
        callbacks = {"on_step": seen.append, "cancelled": lambda seen=seen, last=last: len(seen) >= last}
        with pytest.raises(Cancelled):
            unets.run(name, callbacks=callbacks, steps=STEPS)
        assert len(seen) == last


@pytest.mark.parametrize("name", OFFERED)
def test_every_sampler_that_it_is_offered_runs(unets: Studio, name: str) -> None:
    info = unets.info(name)
    for sampler in legal_samplers(info):
        seen: list[TapStep] = []
        [made] = unets.run(name, callbacks={"on_step": seen.append}, steps=4, sampler=sampler)
        assert len(seen) == 4 + OTHER_STEPS.get(name, 0), sampler
        assert np.asarray(made.image).std() > 1, sampler


@pytest.mark.parametrize("name", ODD)
def test_less_memory_than_it_takes_makes_the_same_picture_and_unloading_leaves_nothing(
    unets: Studio, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)  # of models so small it would be all
    info, request = unets.info(name), unets.request(name, steps=STEPS)
    whole = pixels(unets, name)
    small = Manager(unets.manager.settings.model_copy(update={"outputs": tmp_path}))
    with small.lease(info, "fp32", request=request) as loaded:
        stages = estimate.stages_for(loaded.family, estimate.folder_weights(loaded.folder), SHAPE, "fp32")
    small.unload()
    assert small.memory().used == 0
    needs = [sum(part.bytes for part in stage.parts) + stage.activation for stage in stages]
    small.set_budget(max(needs) + BUFFERS)
    with small.lease(info, "fp32", request=request) as loaded:
        assert not loaded.whole
        [made] = generate(request, loaded)
    small.unload()
    assert small.memory().used == 0
    assert np.array_equal(whole, np.asarray(made.image).astype(int))


@pytest.mark.parametrize("name", ["LDMTextToImagePipeline", "UnCLIPPipeline", "VQDiffusionPipeline"])
def test_what_has_no_numbers_in_half_precision_runs_in_full(unets: Studio, name: str) -> None:
    assert choose("auto", unets.info(name), unets.manager).dtype == "fp32"
    with pytest.raises(InvalidRequest, match="fp32 alone"):
        choose("bf16", unets.info(name), unets.manager)


def test_a_size_that_would_be_replaced_is_refused(unets: Studio) -> None:
    with pytest.raises(InvalidRequest, match="only pictures of 1024x1024, 640x1408"):
        unets.request("Kandinsky5T2IPipeline", width=512, height=512)
    with pytest.raises(InvalidRequest, match="multiple of 128"):
        unets.request("StableCascadeCombinedPipeline", width=576)
    with pytest.raises(InvalidRequest, match="makes only width 32"):
        unets.request("UnCLIPPipeline", width=64)


def test_latents_without_a_prompt_run_with_every_sampler(tmp_path: Path) -> None:
    latent_unconditional(tmp_path / "models/ldm-celebahq-256")
    studio = Studio(Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "outputs", device="cpu")))
    [info] = studio.models
    assert (info.family, info.capabilities.tasks, info.capabilities.prompted, info.capabilities.fixed_size) == (
        "ldm",
        ("text_to_image",),
        False,
        True,
    )
    for sampler in legal_samplers(info):
        seen: list[TapStep] = []
        [made] = studio.run(info.id, callbacks={"on_step": seen.append}, prompt="", steps=4, sampler=sampler)
        assert len(seen) == 4 and made.image.size == (info.defaults.width, info.defaults.height)
        if sampler == "ddim":
            bare = bare_pipeline(studio.folder(info.id))
            output = bare(num_inference_steps=4, generator=torch.Generator().manual_seed(made.seed))
            assert np.array_equal(np.asarray(made.image), np.asarray(output.images[0]))


@pytest.mark.parametrize("name", ["KandinskyV22CombinedPipeline", "WuerstchenCombinedPipeline"])
def test_a_map_that_is_learned_from_runs_shows_the_picture_that_comes(unets: Studio, name: str, tmp_path: Path) -> None:
    """Whatever a decoder takes and gives: latents as they are, multiplied or divided; pixels from -1 or from 0."""
    request, steps = unets.request(name, steps=STEPS, count=6, width=128, height=128), list[TapStep]()
    with unets.loaded(name) as loaded:
        learning = Previewer.for_model(loaded, tmp_path)
        list(generate(request, loaded, on_decode=learning.on_decode))
        again = request.model_copy(update={"count": 1, "seed": 99})
        [made] = generate(again, loaded, on_step=steps.append)
        jpegs = [jpeg for _, _, _, jpeg in Previewer.for_model(loaded, tmp_path).frames(steps[-1:])]
    picture = np.asarray(made.image).astype(float)
    assert jpegs
    for jpeg in jpegs:
        shown = np.asarray(PIL.Image.open(io.BytesIO(jpeg)).resize(made.image.size)).astype(float)
        assert abs(shown.mean() - picture.mean()) < 8
        assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.4


def test_the_transformer_of_one_size_makes_no_other(unets: Studio) -> None:
    with pytest.raises(InvalidRequest, match="makes only width 32"):
        unets.request("UniDiffuserPipeline", width=64)
