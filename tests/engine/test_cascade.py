"""DeepFloyd IF's cascade: three models found, distinguished, run one after another as one, as bare diffusers runs them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.core import events  # noqa: E402
from studio.core.errors import Cancelled, InvalidRequest, UnknownName  # noqa: E402
from studio.core.options import find_model, resolve  # noqa: E402
from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.core.stages import stages_of  # noqa: E402
from studio.engine.generate import Result, Watch  # noqa: E402
from studio.engine.observers import Calling  # noqa: E402
from studio.engine.precision import leases  # noqa: E402
from studio.engine.previews import Previewer  # noqa: E402
from studio.engine.replay import replay  # noqa: E402
from studio.engine.stages import generate_all, planned  # noqa: E402
from studio.engine.tap import TapStep  # noqa: E402
from studio.execution import execute  # noqa: E402
from studio.jobs.archive import Archive  # noqa: E402
from studio.jobs.database import Database  # noqa: E402
from studio.jobs.frames import FrameStore  # noqa: E402
from studio.jobs.inputs import InputStore  # noqa: E402
from studio.manager.families import family_for  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from studio.manager.memory.estimate import Run, Shape, folder_weights  # noqa: E402
from studio.manager.memory.ledger import read_ledger  # noqa: E402
from tests.models import tiny_models  # noqa: E402
from tests.sweeps import one_in  # noqa: E402

ONE, TWO, THREE = "IF-I-XL-v1.0", "IF-II-L-v1.0", "stable-diffusion-x4-upscaler"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cascade") / "models"
    tiny_models.deepfloyd(folder / ONE)
    tiny_models.deepfloyd_two(folder / TWO, seed=1)
    tiny_models.x4_upscaler(folder / THREE, seed=2)
    return folder


@pytest.fixture
def manager(models: Path, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path, device="cpu"))
    yield manager
    manager.unload()


def asked(manager: Manager, upper: dict[str, Any] | None = None, **values: Any) -> GenerationRequest:
    parts = [{"kind": "cascade", "steps": 4} | (upper or {})]
    given = {"model": ONE, "prompt": "a red heart", "seed": 5, "steps": 3, "parts": parts} | values
    return resolve(GenerationRequest(**given), find_model(manager.catalog.models(), ONE))


def run(manager: Manager, request: GenerationRequest, steps: list[TapStep] | None = None) -> list[Result]:
    listed = manager.catalog.models()
    watch = Watch((Calling(steps.append),) if steps is not None else ())
    runs = planned(request, find_model(listed, ONE), listed)
    return list(generate_all(request, runs, leases(manager, "fp32"), watch))


def bare(models: Path, depth: int, count: int = 1, **values: Any) -> np.ndarray:
    """The images that diffusers' own pipelines give one after another, in the manner of its documentation."""
    request = {"guidance": 7.0, "upper_guidance": (4.0, 9.0), "noise_level": (250, 100)} | values
    one = diffusers.IFPipeline.from_pretrained(models / ONE)
    generators = lambda: [torch.Generator().manual_seed(5 + k) for k in range(count)]  # noqa: E731
    embeds, negative = one.encode_prompt(["a red heart"] * count, negative_prompt=[""] * count)
    words = {"prompt_embeds": embeds, "negative_prompt_embeds": negative}
    output = one(
        **words, num_inference_steps=3, guidance_scale=request["guidance"], generator=generators(), output_type="pt"
    )
    nothing = {"text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None}
    two = diffusers.IFSuperResolutionPipeline.from_pretrained(models / TWO, watermarker=None, **nothing)
    output = two(
        **words,
        image=output.images,
        num_inference_steps=4,
        guidance_scale=request["upper_guidance"][0],
        noise_level=request["noise_level"][0],
        generator=generators(),
        output_type="pil" if depth == 1 else "pt",
    )
    if depth == 2:
        three = diffusers.StableDiffusionUpscalePipeline.from_pretrained(models / THREE)
        output = three(
            prompt=["a red heart"] * count,
            negative_prompt=[""] * count,
            image=(output.images / 2 + 0.5).clamp(0, 1),
            num_inference_steps=4,
            guidance_scale=request["upper_guidance"][1],
            noise_level=request["noise_level"][1],
            generator=generators(),
        )
    return np.stack([np.asarray(image) for image in output.images])


def test_the_stages_are_found_and_belong_together(manager: Manager) -> None:
    found = {info.id: info for info in manager.catalog.models()}
    assert {info.problem for info in found.values()} == {None}
    assert [found[name].kind for name in (ONE, TWO, THREE)] == ["diffusers", "upscaler", "upscaler"]
    cascade = found[ONE].cascade
    assert cascade is not None
    assert [(each.id, each.factor) for each in cascade.enlargers] == [(TWO, 2), (THREE, 4)]
    assert cascade.sizes() == [(16, 16), (32, 32), (128, 128)]
    assert (found[ONE].defaults.width, found[ONE].defaults.height) == (32, 32)
    for name in (TWO, THREE):
        with pytest.raises(InvalidRequest, match="makes no pictures by itself"):
            resolve(GenerationRequest(model=name), found[name])


@pytest.mark.parametrize(("size", "depth"), one_in(2, [(128, 2), (None, 1)]))
def test_a_cascade_gives_what_bare_diffusers_gives(
    manager: Manager, models: Path, size: int | None, depth: int
) -> None:
    request = asked(manager, width=size, height=size)
    steps: list[TapStep] = []
    result = run(manager, request, steps)[0]
    assert np.array_equal(np.asarray(result.image), bare(models, depth)[0])
    assert result.image.size == (request.width, request.height)
    assert [step.index for step in steps] == list(range(3 + 4 * depth))
    assert {step.total for step in steps} == {3 + 4 * depth}
    assert [step.elapsed for step in steps] == sorted(step.elapsed for step in steps)
    shapes = [tuple(step.x_t.shape[1:]) for step in steps]
    assert shapes == ([(3, 16, 16)] * 3 + [(3, 32, 32)] * 4 + [(4, 32, 32)] * 4)[: 3 + 4 * depth]
    assert all(step.uncond is not None and not torch.equal(step.cond, step.uncond) for step in steps)


def test_the_first_stage_alone_is_its_own_size(manager: Manager, models: Path) -> None:
    request = asked(manager, width=16, height=16)
    steps: list[TapStep] = []
    result = run(manager, request, steps)[0]
    assert result.image.size == (16, 16)
    assert len(steps) == 3
    assert result.recipe.pipeline == "IFPipeline"


@pytest.mark.sweep
def test_a_batch_is_what_each_image_is_alone(manager: Manager, models: Path) -> None:
    together = run(manager, asked(manager, count=2, batch_size=2))
    alone = run(manager, asked(manager, count=2, batch_size=1))
    for one, other in zip(together, alone, strict=True):
        gap = np.abs(np.asarray(one.image, dtype=int) - np.asarray(other.image, dtype=int))
        assert gap.max() <= 1
    assert not np.array_equal(np.asarray(alone[0].image), np.asarray(alone[1].image))


def test_settings_of_the_upper_stages_are_theirs(manager: Manager, models: Path) -> None:
    request = asked(manager, {"guidance_scale": 1.5, "noise_level": 20})
    result = run(manager, request)[0]
    assert np.array_equal(np.asarray(result.image), bare(models, 1, upper_guidance=(1.5, 1.5), noise_level=(20, 20))[0])
    assert result.recipe.notes[0] == f"then upscale to 32 x 32 by {TWO}: 4 steps, CFG 1.5, noise level 20"
    assert result.recipe.pipeline == "IFPipeline + IFSuperResolutionPipeline"
    assert set(result.recipe.weights) == {"text_encoder", "unet", f"unet of {TWO}"}


def test_a_recipe_is_replayed_bit_for_bit(manager: Manager) -> None:
    results = run(manager, asked(manager, width=128, height=128, count=2))
    again = replay(results[1].recipe, manager, manager.catalog.models(), picture=results[1].image)
    assert again.verdict == "bit-identical"


def test_a_budget_that_holds_one_stage_at_a_time_changes_no_pixel(
    manager: Manager, models: Path, tmp_path: Path
) -> None:
    expected = run(manager, asked(manager))[0]
    small = Manager(Settings(models=(models,), outputs=tmp_path / "small", device="cpu"))
    upper = folder_weights(models / TWO)["unet"]
    stages = Run(family_for(small.catalog.models()[1]), {"unet": upper}, Shape(32, 32), "fp32").stages()
    small.set_budget(stages[0].activation + 4 * upper.elements + 1000)
    result = run(small, asked(small))[0]
    assert result.recipe.pixels == expected.recipe.pixels
    moves = [(row["move"], row["component"]) for row in read_ledger(tmp_path / "small/.unnoise/ledger.jsonl", 100)]
    assert ("evict", "unet") in moves
    assert small.memory().used <= small.budget()


def test_it_is_stopped_within_a_step_of_the_upper_stage(manager: Manager) -> None:
    listed, seen = manager.catalog.models(), list[TapStep]()
    request = asked(manager)
    watch = Watch((Calling(seen.append),), cancelled=lambda: len(seen) >= 5)
    with pytest.raises(Cancelled):
        list(generate_all(request, planned(request, find_model(listed, ONE), listed), leases(manager, "fp32"), watch))
    assert len(seen) == 5
    assert not [key for key, component in manager.residency.components.items() if component.users]


def test_every_step_of_every_stage_has_its_pictures(manager: Manager, tmp_path: Path) -> None:
    steps: list[TapStep] = []
    run(manager, asked(manager), steps)
    previewer = Previewer(tmp_path)
    for name in (ONE, TWO):
        with manager.lease(find_model(manager.catalog.models(), name), "fp32") as loaded:
            previewer.show(loaded)
    frames = list(previewer.frames(steps))
    assert [(step.index, kind) for step, kind, _, _ in frames if kind == "xt"] == [(k, "xt") for k in range(7)]


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"width": 24, "height": 24}, "width", "multiple of 16"),
        ({"width": 128, "height": 128, "upper": {"noise_level": 351}}, "parts.0.noise_level", "up to 350"),
    ],
)
def test_what_the_cascade_cannot_do_is_refused(
    manager: Manager, values: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        asked(manager, **values)
    assert refused.value.field == field


def test_a_model_of_one_stage_has_no_use_for_their_settings(manager: Manager) -> None:
    info = find_model(manager.catalog.models(), ONE).model_copy(update={"cascade": None})
    with pytest.raises(InvalidRequest, match="Only models that work in stages") as refused:
        resolve(GenerationRequest(parts=[{"kind": "cascade", "steps": 3}]), info)
    assert refused.value.field == "parts.0.steps"


def test_a_stage_that_has_gone_is_named(manager: Manager) -> None:
    request = asked(manager)
    listed = manager.catalog.models()
    left = [info for info in listed if info.id != TWO]
    with pytest.raises(UnknownName, match=TWO):
        planned(request, find_model(listed, ONE), left)


def test_alone_the_first_stage_makes_its_own_size(models: Path, tmp_path: Path) -> None:
    tiny_models.deepfloyd(tmp_path / "models" / ONE)
    alone = Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "outputs", device="cpu"))
    info = alone.catalog.models()[0]
    assert info.cascade is None
    assert info.defaults.width == 16
    assert [stage.model for stage in stages_of(resolve(GenerationRequest(), info), info)] == [ONE]


def test_its_plan_tells_each_model_s_part(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from studio.cli import models as command

    flags = ["--only-models", str(models), "--outputs", str(tmp_path)]
    assert command.main(["plan", ONE, "--size", "128x128", "--json", *flags]) == 0
    printed = json.loads(capsys.readouterr().out)
    by_model = [(stage["model"], stage["stage"]) for stage in printed["stages"]]
    upper = [(THREE, "encode"), (THREE, "denoise"), (THREE, "decode")]
    assert by_model == [(ONE, "encode"), (ONE, "denoise"), (TWO, "denoise"), *upper]
    assert command.main(["plan", ONE, "--size", "128x128", *flags]) == 0
    assert f"{TWO}, 32 x 32" in capsys.readouterr().out


@pytest.mark.sweep
def test_a_job_tells_every_step_of_every_model_and_keeps_its_pictures(manager: Manager, tmp_path: Path) -> None:
    database = Database(tmp_path / "studio.db")
    archive, frames = Archive(tmp_path, database), FrameStore(tmp_path / "frames", database)
    emitted: list[events.Event] = []
    request = asked(manager, width=128, height=128, count=2)
    how: dict[str, Any] = {"manager": manager, "catalog": manager.catalog, "archive": archive, "frames": frames}
    how["inputs"] = InputStore(tmp_path / "inputs")
    for _ in range(2):  # the maps of latents are learned from finished runs
        emitted.clear()
        assert execute("casc", request, emit=emitted.append, **how)
    kinds = [event.kind for event in emitted if event.kind != "loading"]
    assert kinds == (["step"] * 11 + ["image"]) * 2 + ["done"]
    steps = [event for event in emitted if isinstance(event, events.Step)]
    assert [(step.index, step.images) for step in steps] == [(k, (n,)) for n in range(2) for k in range(11)]
    assert all(step.total == 11 and step.remaining is not None for step in steps)
    shown = [(step.index, step.images[0], kind) for step in steps for kind in step.frames]
    assert {index for index, _, _ in shown} >= set(range(7))
    assert all(frames.get("casc", image, index, kind) for index, image, kind in shown)
    database.close()
