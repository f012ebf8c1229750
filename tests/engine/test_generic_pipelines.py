"""Pipelines that only the generic family takes: found, loaded, run, shown, stopped, unloaded.

Each is held against the bare pipeline with the same arguments. What is offered must run, and what a pipeline cannot do is
refused beforehand. Six pipelines stand for the others; all of them are run by `make test-all`.
"""

import gc
import io
import json
import shutil
import weakref
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import PIL.Image  # noqa: E402
import torch  # noqa: E402
from diffusers.guiders.guider_utils import BaseGuidance  # noqa: E402

from studio.core.errors import Cancelled, InvalidRequest  # noqa: E402
from studio.core.models import ModelInfo  # noqa: E402
from studio.core.options import legal_samplers  # noqa: E402
from studio.core.samplers import SOLVERS  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.engine.generate import generate  # noqa: E402
from studio.engine.precision import choose  # noqa: E402
from studio.engine.previews import Previewer, _scale_and_shift, _tiled  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.manager.disk.describe import describe  # noqa: E402
from studio.manager.families import family_for  # noqa: E402
from studio.manager.loading import component_class  # noqa: E402
from studio.manager.manager import Loaded, Manager, shape_of  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402
from tests.models.generic_models import GENERIC, TRANSFORMERS, build  # noqa: E402
from tests.sweeps import one_in, shares  # noqa: E402

STEPS, SCALE = 2, 4.0
BUFFERS = 8192  # bytes that a model has beside what its files hold
# Packed latents, the guidance an input; two calls a step over five-dimensional latents; guiders of their own; perturbed
# attention in a U-Net's batch; a prior before a decoder; tokens in place of noise.
REPRESENTATIVES = {
    "FluxKontextPipeline", "QwenImagePipeline", "HunyuanImagePipeline", "StableDiffusionXLPAGPipeline",
    "KandinskyV22CombinedPipeline", "VQDiffusionPipeline",
}  # fmt: skip
# Where half of them show what there is to see: two calls a step, one batch of three, and no numbers but tokens.
CHEAP = {"QwenImagePipeline", "StableDiffusionXLPAGPipeline", "VQDiffusionPipeline"}
REFUSED = {
    "StableDiffusionParadigmsPipeline": "denoises many steps at once, so that none of them could be shown or stopped"
}
UNCONDITIONAL = {"LDMPipeline"}
NAMES = sorted(GENERIC.keys() - REFUSED.keys() - UNCONDITIONAL)
# Pipelines of several loops: the steps that are not the person's to choose.
OTHER_STEPS = {
    "KandinskyCombinedPipeline": 25,
    "KandinskyV22CombinedPipeline": 25,
    "StableCascadeCombinedPipeline": 12,
    "WuerstchenCombinedPipeline": 12,
    "UnCLIPPipeline": 25 + 7,
}
# Their guidance is a number that the denoiser takes, or none: there are no two predictions to tell apart.
ONE_PREDICTION = {"Flux2Pipeline", "Flux2KleinKVPipeline", "FluxKontextPipeline", "SanaSprintPipeline"}
ALWAYS_GUIDED = {"HunyuanDiTPAGPipeline"}
# The smallest picture is large, or any prompt is read as 2,048 words.
SLOW = {"HiDreamImagePipeline", "Ideogram4Pipeline", "Kandinsky5T2IPipeline"}
# One of each kind of offer: any sampler, none that scales its input, none but those that can be copied, or ask once a step.
OFFERED = TRANSFORMERS.keys() | {
    "KandinskyCombinedPipeline", "KandinskyV22CombinedPipeline", "SemanticStableDiffusionPipeline",
    "StableDiffusionPanoramaPipeline", "UniDiffuserPipeline", "WuerstchenCombinedPipeline",
}  # fmt: skip


def every(
    names: Collection[str] = NAMES, *, without: Collection[str] = (), default: Collection[str] = REPRESENTATIVES
) -> pytest.MarkDecorator:
    """A test of each pipeline; those of `default` run by default, the others in the sweep."""
    marks = {True: (), False: (pytest.mark.sweep,)}
    chosen = sorted(set(names) & set(NAMES) - set(without))
    return pytest.mark.parametrize("name", [pytest.param(n, marks=marks[n in default]) for n in chosen])


def some(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", names)


class Pipelines(Studio):
    """Each pipeline's folder is made when it is first asked for."""

    def __init__(self, root: Path):
        super().__init__(Manager(Settings(models=(root / "models",), outputs=root / "outputs", device="cpu")))
        self.root = root / "models"

    def add(self, name: str, pipeline: str, **options: Any) -> None:
        if not (self.root / name).exists():
            build(pipeline, self.root / name, **options)
            self.models = self.manager.catalog.models()

    def info(self, name: str) -> ModelInfo:
        if name in GENERIC:
            self.add(name, name)
        return super().info(name)

    def pixels(self, name: str, **values: Any) -> np.ndarray:
        [made] = self.run(name, **({"steps": STEPS, "guidance_scale": SCALE} | values))
        return np.asarray(made.image).astype(int)

    def steps(self, name: str, **values: Any) -> list[TapStep]:
        steps: list[TapStep] = []
        self.run(name, callbacks={"on_step": steps.append}, **({"steps": STEPS} | values))
        return steps


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    return Pipelines(tmp_path_factory.mktemp("pipelines"))


def total_steps(name: str, steps: int = STEPS) -> list[tuple[int, int]]:
    total = steps + OTHER_STEPS.get(name, 0)
    return [(k, total) for k in range(total)]


@every()
def test_it_runs_as_the_bare_pipeline_does_and_every_step_is_shown(
    pipelines: Pipelines, name: str, tmp_path: Path
) -> None:
    info = pipelines.info(name)
    assert info.problem is None, info.problem
    request, steps = pipelines.request(name, steps=STEPS, guidance_scale=SCALE), list[TapStep]()
    decoded: list[tuple[torch.Tensor, torch.Tensor]] = []
    with pipelines.loaded(name) as loaded:
        watch = {"on_step": steps.append, "on_decode": lambda *pair: decoded.append(pair)}
        [made] = generate(request, loaded, **watch)
        arguments = arguments_of(request, loaded)
        frames = [jpeg for _, _, _, jpeg in Previewer.for_model(loaded, tmp_path).frames(steps)]
        if name in TRANSFORMERS:
            check_latents(loaded, steps, decoded)
    assert [(step.index, step.total) for step in steps] == total_steps(name)
    assert all(frame.startswith(b"\xff\xd8") for frame in frames)
    assert made.image.size == (request.width, request.height)
    assert np.asarray(made.image).std() > 1
    output = bare_pipeline(pipelines.folder(name))(**arguments, generator=torch.Generator().manual_seed(request.seed))
    assert np.array_equal(np.asarray(made.image), np.asarray(output[0][0].convert("RGB")))


def check_latents(loaded: Loaded, steps: list[TapStep], decoded: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """What the run ends with is what the decoder is given, so that previews' colours, learned there, are right for steps."""
    assert all(step.x_t.ndim == 4 and step.x0 is not None and step.x0.shape == step.x_t.shape for step in steps)
    assert len(decoded) == (loaded.family.decoder is not None)
    for latents, colours in decoded:
        assert colours.shape[1] == 3
        vae = loaded.components[loaded.family.decoder or ""]
        scale, shift = _scale_and_shift(vae, loaded.family.latent, loaded.family.cells_first)
        x0 = steps[-1].x0
        assert x0 is not None
        ours = x0.float() / _tiled(scale, x0) + _tiled(shift, x0)
        assert torch.allclose(ours, latents.float(), atol=2e-3 * float(latents.abs().max()))


def bare_pipeline(folder: Path) -> Any:
    """Made by hand, for diffusers itself no longer finds the classes of some; its guiders guide as the request does."""
    index = json.loads((folder / "model_index.json").read_text())
    parts = {}
    for name, value in index.items():
        if isinstance(value, list):
            parts[name] = component_class(*value).from_pretrained(folder / name) if value[0] else None
            if isinstance(parts[name], BaseGuidance):
                parts[name] = parts[name].new(guidance_scale=SCALE)
        elif not name.startswith("_"):
            parts[name] = value
    pipeline = getattr(diffusers, index["_class_name"])(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@every(without=SLOW, default=CHEAP)
def test_guidance_and_the_negative_prompt_change_the_picture_where_they_are_offered(
    pipelines: Pipelines, name: str
) -> None:
    capabilities = pipelines.info(name).capabilities
    plain, least = pipelines.pixels(name), 1.0
    if name in ALWAYS_GUIDED:
        least = 2.0
        with pytest.raises(InvalidRequest, match="CFG above 1"):
            pipelines.pixels(name, guidance_scale=1.0)
    for scale in (least, 9.0):
        changes = not np.array_equal(plain, pipelines.pixels(name, guidance_scale=scale))
        assert changes == capabilities.guided
    if capabilities.negative:
        assert not np.array_equal(plain, pipelines.pixels(name, negative_prompt="a blue star"))
    else:
        with pytest.raises(InvalidRequest, match="takes no negative prompt"):
            pipelines.pixels(name, negative_prompt="a blue star")


@every(TRANSFORMERS, without=ONE_PREDICTION | ALWAYS_GUIDED | {"HiDreamImagePipeline", "Kandinsky5T2IPipeline"})
def test_the_conditional_prediction_is_the_one_that_an_unguided_run_makes(pipelines: Pipelines, name: str) -> None:
    negative = "a blue star" * pipelines.info(name).capabilities.negative
    guided = pipelines.steps(name, guidance_scale=SCALE, negative_prompt=negative)[0]
    expected = pipelines.steps(name, guidance_scale=1.0)[0].cond
    assert guided.cond is not None and guided.uncond is not None and expected is not None
    assert float((guided.cond - expected).abs().max()) < 0.1 * float((guided.uncond - expected).abs().max())


@every(ONE_PREDICTION)
def test_where_there_is_one_prediction_none_is_called_unconditional(pipelines: Pipelines, name: str) -> None:
    assert all(step.cond is not None and step.uncond is None for step in pipelines.steps(name))


@every(without=SLOW, default=CHEAP)
def test_two_together_are_the_two_alone(pipelines: Pipelines, name: str) -> None:
    seed = pipelines.request(name).seed
    made = pipelines.run(name, steps=STEPS, guidance_scale=SCALE, count=2, batch_size=2)
    assert len(made) == 2
    for k, picture in enumerate(made):
        alone = pipelines.pixels(name, seed=seed + k)
        assert np.abs(np.asarray(picture.image).astype(int) - alone).max() <= 1


@every(TRANSFORMERS, without={"Kandinsky5T2IPipeline"})
def test_a_size_is_made_as_asked_or_refused_beforehand(pipelines: Pipelines, name: str) -> None:
    info = pipelines.info(name)
    side, step = info.defaults.width, info.capabilities.multiple
    if step > 8:
        with pytest.raises(InvalidRequest, match=f"must be a multiple of {step}"):
            pipelines.request(name, width=side + step - 8)
    if info.capabilities.area is None:
        made = pipelines.pixels(name, width=side + step, height=side)
        assert made.shape == (side, side + step, 3)
    else:
        refusal = r"makes pictures of about 65,536 pixels.* 256x256 is the nearest to 64x64"
        with pytest.raises(InvalidRequest, match=refusal):
            pipelines.request(name, width=64, height=64)


@every(OFFERED, without=SLOW, default={"QwenImagePipeline", "KandinskyV22CombinedPipeline"})
def test_every_sampler_that_is_offered_runs_and_counts_its_steps(pipelines: Pipelines, name: str) -> None:
    info = pipelines.info(name)
    offered = legal_samplers(info)
    assert info.defaults.sampler in offered
    for sampler in offered:
        steps = pipelines.steps(name, sampler=sampler, steps=4)
        if SOLVERS.get(sampler).adaptive:
            assert [step.index for step in steps] == list(range(steps[-1].total))
        else:
            assert [(step.index, step.total) for step in steps] == total_steps(name, 4), sampler


@some("StableDiffusionSAGPipeline")
def test_a_pipeline_that_looks_levels_up_by_timesteps_is_given_whole_ones(pipelines: Pipelines, name: str) -> None:
    for spacing in ("karras", "trailing", "sgm_uniform"):
        steps = pipelines.steps(name, sampler="dpmpp_2m", spacing=spacing, steps=4)
        assert len(steps) == 4 and all(step.timestep == int(step.timestep) for step in steps)


@every(without=SLOW)
def test_a_cancel_takes_effect_within_one_step_in_every_loop(pipelines: Pipelines, name: str) -> None:
    for last in {1, len(total_steps(name)) - 1}:
        seen: list[TapStep] = []
        callbacks = {"on_step": seen.append, "cancelled": lambda seen=seen, last=last: len(seen) >= last}
        with pytest.raises(Cancelled):
            pipelines.run(name, callbacks=callbacks, steps=STEPS)
        assert len(seen) == last


@every(without={"Kandinsky5T2IPipeline"}, default={"QwenImagePipeline"})
def test_a_budget_for_one_stage_leaves_the_picture_as_it_is_and_unloading_leaves_nothing(
    pipelines: Pipelines, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, info = pipelines.pixels(name), pipelines.info(name)
    request = pipelines.request(name, steps=STEPS, guidance_scale=SCALE)
    # So small a model is all working memory; here its weights are to be what does not fit.
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    weights = estimate.folder_weights(pipelines.folder(name))
    stages = estimate.Run(family_for(info), weights, shape_of(info, None), "fp32").stages()
    tight = Manager(pipelines.manager.settings.model_copy(update={"outputs": tmp_path}))
    budget = max(sum(part.bytes for part in stage.parts) + stage.activation for stage in stages) + BUFFERS
    tight.set_budget(budget)
    modules: list[weakref.ref[torch.nn.Module]] = []
    for _ in range(2):  # the second run goes back from decoding to encoding
        with tight.lease(info, "fp32", request=request) as loaded:
            [made] = generate(request, loaded)
            modules += [weakref.ref(part) for part in loaded.components.values() if isinstance(part, torch.nn.Module)]
        assert np.array_equal(np.asarray(made.image).astype(int), expected)
    assert "evict" in {row["move"] for row in tight.ledger.recent}
    assert tight.residency.held() <= budget
    tight.unload()
    assert tight.residency.held() == 0
    del loaded
    gc.collect()
    assert modules and not any(module() for module in modules)


# ---- what some of them do not do -------------------------------------------------------------------------------------


@some(*REFUSED)
def test_what_could_not_be_followed_is_refused(pipelines: Pipelines, name: str) -> None:
    assert REFUSED[name] in (pipelines.info(name).problem or "")


@some("LDMTextToImagePipeline", "UnCLIPPipeline", "VQDiffusionPipeline")
def test_what_has_no_numbers_in_half_precision_runs_in_full(pipelines: Pipelines, name: str) -> None:
    assert choose("auto", pipelines.info(name), pipelines.manager).dtype == "fp32"
    with pytest.raises(InvalidRequest, match="fp32 alone"):
        choose("bf16", pipelines.info(name), pipelines.manager)


@pytest.mark.parametrize(
    ("name", "size", "refusal"),
    [
        ("Kandinsky5T2IPipeline", {"width": 512, "height": 512}, "only pictures of 1024x1024, 640x1408"),
        ("StableCascadeCombinedPipeline", {"width": 576}, "multiple of 128"),
        ("UnCLIPPipeline", {"width": 64}, "makes only width 32"),
        ("UniDiffuserPipeline", {"width": 64}, "makes only width 32"),
    ],
)
def test_a_size_that_would_be_replaced_is_refused(
    pipelines: Pipelines, name: str, size: dict[str, int], refusal: str
) -> None:
    with pytest.raises(InvalidRequest, match=refusal):
        pipelines.request(name, **size)


def test_a_part_that_the_folder_leaves_out_is_named_beforehand(pipelines: Pipelines, tmp_path: Path) -> None:
    """HiDream's fourth text encoder is published by others, under a licence of its own."""
    assert pipelines.info("HiDreamImagePipeline").problem is None
    folder = shutil.copytree(pipelines.folder("HiDreamImagePipeline"), tmp_path / "hidream")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"text_encoder_4": [None, None]}))
    assert describe(folder, "hidream").problem == (
        "Its model_index.json names no text_encoder_4 (LlamaForCausalLM), which HiDreamImage needs; add its folder, and a "
        "line for it there."
    )


def test_steps_that_a_schedule_cannot_be_stretched_over_are_refused(pipelines: Pipelines) -> None:
    with pytest.raises(InvalidRequest, match="QwenImagePipeline needs at least 2 steps"):
        pipelines.request("QwenImagePipeline", steps=1)


@pytest.mark.parametrize(
    ("pipeline", "options", "guided"),
    one_in(
        2, [("HunyuanImagePipeline", {"distilled": True}, True), ("Flux2KleinPipeline", {"is_distilled": True}, False)]
    ),
)
def test_a_distilled_model_is_offered_no_more_than_it_heeds(
    pipelines: Pipelines, pipeline: str, options: dict[str, bool], guided: bool
) -> None:
    name = f"distilled-{pipeline}"
    pipelines.add(name, pipeline, **options)
    info = pipelines.info(name)
    assert (info.capabilities.guided, info.capabilities.negative) == (guided, False)
    assert info.defaults.steps == (50 if guided else 8)
    assert np.array_equal(pipelines.pixels(name), pipelines.pixels(name, guidance_scale=9.0)) is not guided


# ---- latents of other autoencoders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", shares(6))
def test_latents_without_a_prompt_run_with_every_sampler(pipelines: Pipelines, share: int) -> None:
    name = "ldm-celebahq-256"
    pipelines.add(name, "LDMPipeline")
    info = pipelines.info(name)
    capabilities = info.capabilities
    assert (info.family, capabilities.tasks, info.defaults.sampler) == ("ldm", ("text_to_image",), "ddim")
    assert (capabilities.prompted, capabilities.fixed_size) == (False, True)
    for sampler in ["ddim", *(name for name in legal_samplers(info) if name != "ddim")][share::6]:
        seen: list[TapStep] = []
        [made] = pipelines.run(name, callbacks={"on_step": seen.append}, prompt="", steps=4, sampler=sampler)
        assert len(seen) == (seen[-1].total if SOLVERS.get(sampler).adaptive else 4), sampler
        assert made.image.size == (info.defaults.width, info.defaults.height)
        if sampler == "ddim":
            output = bare_pipeline(pipelines.folder(name))(
                num_inference_steps=4, generator=torch.Generator().manual_seed(made.seed)
            )
            assert np.array_equal(np.asarray(made.image), np.asarray(output.images[0]))


@some("WuerstchenCombinedPipeline")
def test_a_map_that_is_learned_from_runs_shows_the_picture_that_comes(
    pipelines: Pipelines, name: str, tmp_path: Path
) -> None:
    """Whatever a decoder takes and gives: latents as they are, multiplied or divided; pixels from -1 or from 0."""
    request, steps = pipelines.request(name, steps=STEPS, count=6, width=128, height=128), list[TapStep]()
    with pipelines.loaded(name) as loaded:
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
        assert np.corrcoef(shown.ravel(), picture.ravel())[0, 1] > 0.25  # a random decoder is far from linear
