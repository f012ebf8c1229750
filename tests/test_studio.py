"""The whole way with the real engine on a tiny random checkpoint: worker process, steps, frames, images, settings."""

import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from studio import compat
from studio.core.events import Done, Event, Failed, Interrupted, Step
from studio.core.events import Image as ImageEvent
from studio.core.recipe import pixel_hash
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.studio import Studio
from tests.models import tiny_models

PROMPT = "a large red heart on the left"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one that works, and one whose U-Net's finite weights make infinite numbers."""
    folder = tmp_path_factory.mktemp("models")
    good = tiny_models.stable_diffusion(folder / "starter" / "tiny-sd")
    bad = folder / "broken" / "tiny-overflow"
    shutil.copytree(good, bad)
    weights = bad / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"][:] = 3e38
    save_file(tensors, weights, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def studio(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield studio
    studio.close()


def requested(**settings: object) -> GenerationRequest:
    values = {"model": "tiny-sd", "prompt": PROMPT, "steps": 3, "seed": 11, "width": 64, "height": 64, "dtype": "fp32"}
    return GenerationRequest(**(values | settings))


def run(studio: Studio, request: GenerationRequest) -> tuple[str, list[Event]]:
    job = studio.submit(request)
    return job, list(studio.follow(job))


def test_a_prompt_becomes_images_with_every_step_in_view(studio: Studio) -> None:
    job, events = run(studio, requested(count=3, batch_size=2))
    assert isinstance(events[-1], Done)
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.index, step.images) for step in steps] == [(k, (0, 1)) for k in range(3)] + [
        (k, (2,)) for k in range(3)
    ]
    assert all(
        step.total == 3 and step.frames == ("x0", "xt") and len(step.norms) == len(step.images) for step in steps
    )
    assert steps[-1].remaining == 0 and steps[0].norms[0].difference is not None
    order = [event.kind for event in events if event.kind in ("step", "image")]
    assert order == ["step"] * 3 + ["image"] * 2 + ["step"] * 3 + ["image"]
    for image in range(3):
        for step in range(3):
            for kind in ("x0", "xt"):
                data = studio.frame(job, image, step, kind)
                assert data and Image.open(io.BytesIO(data)).size == (64, 64)
    assert studio.memory().used > 0 and studio.memory().device == "cpu"


def test_an_image_depends_on_its_own_seed_and_its_settings_come_back(studio: Studio) -> None:
    _, events = run(studio, requested(count=2))
    second = next(event for event in events if isinstance(event, ImageEvent) and event.index == 1)
    found = studio.read_settings(studio.image_file(second.id).read_bytes())
    assert found.pop("notes") == [] and found["seed"] == 12 and found["count"] == 1
    job, _ = run(studio, GenerationRequest(**found))
    (alone,) = studio.job(job).images
    assert studio.image(alone).sha256 == second.sha256
    with Image.open(studio.image_file(alone)) as image:
        assert pixel_hash(image.mode, image.size, image.tobytes()) == second.sha256


def test_in_one_call_from_python(studio: Studio) -> None:
    [picture] = studio.generate(requested())
    assert picture.size == (64, 64)


def test_cancel_takes_effect_within_one_step(studio: Studio) -> None:
    job = studio.submit(requested(steps=500))
    following = studio.follow(job)
    seen = next(event for event in following if isinstance(event, Step))
    assert studio.cancel(job)
    later = list(following)
    assert later[-1].kind == "cancelled" and len(later) + seen.index < 400
    assert studio.job(job).images == ()


@pytest.mark.sweep  # by default with a worker that only pretends, in tests/jobs
def test_a_killed_worker_loses_its_own_job_only(studio: Studio) -> None:
    doomed, next_one = studio.submit(requested(steps=500)), studio.submit(requested())
    next(event for event in studio.follow(doomed) if isinstance(event, Step))
    assert studio.worker_pid is not None
    os.kill(studio.worker_pid, signal.SIGKILL)
    assert isinstance(list(studio.follow(doomed))[-1], Interrupted)
    assert isinstance(list(studio.follow(next_one))[-1], Done)
    assert not list(studio.settings.outputs.rglob("*.tmp"))


def test_numbers_that_overflow_are_a_sentence_and_no_black_picture(studio: Studio) -> None:
    job, events = run(studio, requested(model="broken/tiny-overflow"))
    assert isinstance(events[-1], Failed) and "overflowed" in events[-1].message
    assert studio.job(job).images == ()
    assert isinstance(run(studio, requested())[1][-1], Done)


def test_a_model_that_vanishes_after_it_was_queued(studio: Studio, models: Path) -> None:
    """Its neighbour may go on."""
    shutil.copytree(models / "starter" / "tiny-sd", models / "gone")
    blocker, doomed = studio.submit(requested(steps=200)), studio.submit(requested(model="gone"))
    shutil.rmtree(models / "gone")
    studio.cancel(blocker)
    end = list(studio.follow(doomed))[-1]
    assert isinstance(end, Failed) and end.field == "model" and "gone" in end.message
    assert isinstance(run(studio, requested())[1][-1], Done)


def test_a_model_that_is_cut_short_after_it_was_queued(studio: Studio, models: Path) -> None:
    shutil.copytree(models / "starter" / "tiny-sd", models / "cut")
    blocker, doomed = studio.submit(requested(steps=200)), studio.submit(requested(model="cut"))
    weights = models / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    studio.cancel(blocker)
    end = list(studio.follow(doomed))[-1]
    shutil.rmtree(models / "cut")
    assert isinstance(end, Failed) and end.field == "model" and "The file is incomplete: expected" in end.message


def test_settings_of_other_programs_and_pictures_without_any(studio: Studio) -> None:
    from PIL.PngImagePlugin import PngInfo

    from studio.core.errors import InvalidRequest

    info, buffer = PngInfo(), io.BytesIO()
    info.add_text(
        "parameters", "a cat\nSteps: 9, Sampler: Euler a, CFG scale: 3, Seed: 4, Size: 64x64, Model: v1-5, RNG: CPU"
    )
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    found = studio.read_settings(buffer.getvalue())
    assert (found["prompt"], found["sampler"], found["steps"]) == ("a cat", "euler_a", 9)
    assert "model" not in found and found["notes"] == ["Left out: the model 'v1-5' is not here."]
    bare = io.BytesIO()
    Image.new("RGB", (8, 8)).save(bare, "PNG")
    with pytest.raises(InvalidRequest, match="carries no settings"):
        studio.read_settings(bare.getvalue())


@pytest.mark.parametrize(("error", "fit"), [(KeyError("x"), True), (RuntimeError("CUDA error: unspecified"), False)])
def test_an_error_that_nobody_foresaw_is_a_sentence_too(error: Exception, fit: bool, tmp_path: Path) -> None:
    """And where the device is lost with it, the process is said to be beyond use."""

    class Broken:
        def models(self) -> None:
            raise error

    emitted: list[Event] = []
    archive = Archive(tmp_path, Database(tmp_path / "studio.db"))
    broken: Any = Broken()
    compat.prepare()
    from studio.execution import execute

    assert fit is execute(
        "j",
        requested(),
        manager=broken,
        catalog=broken,
        archive=archive,
        frames=None,
        inputs=broken,
        emit=emitted.append,
    )
    (end,) = emitted
    assert isinstance(end, Failed) and type(error).__name__ in end.message and "CUDA" not in end.message
