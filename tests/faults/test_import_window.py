"""A single file through the whole studio: prepared while a job runs, reported to the window, waited for by a job, cancelled, lost
with the worker; what follows works."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load, save

from studio.core.events import Done, Event, Failed, Interrupted, Loading, Step
from studio.core.memory import MemoryCommand, MemoryView
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.studio import Studio
from tests.manager import small_child
from tests.models import single_files, tiny_models

FOLDER = "starter/folder"
ENTRY = "tests.manager.small_worker:main"


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hold") / "hold"


@pytest.fixture
def hold(held: Path) -> Path:
    """While this file is there, a conversion does not begin; a test may write there at what it is to stop instead."""
    held.write_text(small_child.START)
    return held


@pytest.fixture(scope="module")
def module_studio(held: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Over the real worker, whose SD 1 is as small as the test's: a model as a folder, and the vocabulary of single files."""
    models = tmp_path_factory.mktemp("models")
    folder = tiny_models.stable_diffusion(models / FOLDER, vae="kl", tokens=77)
    single_files.clip_files(models / "tokenizers/clip")
    settings = Settings(models=(models,), outputs=tmp_path_factory.mktemp("out"), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(small_child.HOLD, str(held))
        patch.setenv(small_child.SOURCE + "sd1", str(folder))
        patch.setitem(CONTEXT_FAMILY, 32, "sd1")
        with closing(Studio(settings, entry=ENTRY)) as studio:
            yield studio


@pytest.fixture
def studio(module_studio: Studio, hold: Path) -> Studio:
    return module_studio


@pytest.fixture
def file(studio: Studio, request: pytest.FixtureRequest) -> Path:
    """The folder's model as a single file of this test's own."""
    models, name = studio.settings.models[0], request.node.name.removeprefix("test_")
    file = models / "checkpoints" / f"{name}.safetensors"
    single_files.sd1_checkpoint(file, models / FOLDER)
    return file


@pytest.fixture
def model(file: Path) -> str:
    return f"checkpoints/{file.stem}"


def requested(model: str, **settings: object) -> GenerationRequest:
    values = {"prompt": "a star", "steps": 2, "seed": 1, "width": 64, "height": 64, "dtype": "fp32"} | settings
    return GenerationRequest(model=model, **values)


def until(studio: Studio, true: Callable[[MemoryView], Any], seconds: float = 600) -> MemoryView:
    """The first view of which it is true, as it is reported to the window."""
    end, (seen, view) = time.monotonic() + seconds, studio.watch_memory(0, 0.0)
    while not true(view):
        assert time.monotonic() < end, view
        seen, view = studio.watch_memory(seen, 1.0)
    return view


def ask(studio: Studio, action: str, model: str) -> None:
    studio.manage(MemoryCommand(action=action, model=model, dtype="fp32"))


def started(studio: Studio) -> Studio:
    """With a worker that hears."""
    assert isinstance(list(studio.follow(studio.submit(requested(FOLDER))))[-1], Done)
    return studio


def left(studio: Studio) -> list[str]:
    place = studio.settings.outputs / ".unnoise/imported"
    return sorted(path.name for path in place.iterdir() if path.name != ".lock") if place.is_dir() else []


@pytest.mark.sweep  # by default without the studio, in tests/manager/test_imports.py
def test_a_job_shows_its_import_and_can_be_cancelled_in_it(studio: Studio, model: str, hold: Path) -> None:
    before = left(studio)
    hold.write_text("vae")
    job = studio.submit(requested(model))
    seen: list[Event] = []
    for event in studio.follow(job):
        seen.append(event)
        if isinstance(event, Loading) and "converting vae" in event.what:
            assert studio.cancel(job)  # it does not wait for what stands still
    assert seen[-1].kind == "cancelled"
    fractions = [event.fraction for event in seen if isinstance(event, Loading) and "converting" in event.what]
    assert fractions == sorted(fractions) and fractions[-1] > 0
    until(studio, lambda view: view.imports == () and left(studio) == before)
    assert isinstance(list(studio.follow(studio.submit(requested(FOLDER))))[-1], Done)


@pytest.mark.sweep
def test_stopped_by_a_person_and_failed_for_a_reason(studio: Studio, model: str, file: Path, hold: Path) -> None:
    before = left(studio)
    ask(started(studio), "import", model)
    until(studio, lambda view: any("converting" in each.what for each in view.imports))
    ask(studio, "cancel_import", model)
    until(studio, lambda view: view.imports == ())
    hold.unlink()
    tensors = load(file.read_bytes())
    del tensors["first_stage_model.decoder.conv_in.bias"]
    file.write_bytes(save(tensors))
    end = list(studio.follow(studio.submit(requested(model))))[-1]
    assert isinstance(end, Failed) and f"The vae in {file.name}" in end.message
    view = until(studio, lambda view: any(each.problem for each in view.imports))
    assert view.imports[0].problem == end.message
    until(studio, lambda view: left(studio) == before)


@pytest.mark.sweep
def test_an_import_dies_with_the_worker_and_leaves_nothing(studio: Studio, model: str, hold: Path) -> None:
    before = left(studio)
    job = studio.submit(requested(model))
    for event in studio.follow(job):
        if isinstance(event, Loading) and "converting" in event.what and studio.worker_pid:
            os.kill(studio.worker_pid, signal.SIGKILL)
    assert isinstance(list(studio.follow(job))[-1], Interrupted)
    hold.unlink()
    assert isinstance(list(studio.follow(studio.submit(requested(FOLDER))))[-1], Done)
    until(studio, lambda view: view.imports == () and left(studio) == before)
    assert isinstance(list(studio.follow(studio.retry(job)))[-1], Done)


def test_what_is_no_single_file_is_not_imported(studio: Studio) -> None:
    started(studio).manage(MemoryCommand(action="import", model=FOLDER))
    view = until(studio, lambda view: view.imports)
    assert view.imports[0].problem == "folder is a folder already, which is used as it is."
    info: ModelInfo = next(info for info in studio.models() if info.id == FOLDER)
    assert info.problem is None


def test_prepared_while_a_job_runs(studio: Studio, model: str, hold: Path) -> None:
    job = started(studio).submit(requested(FOLDER, steps=700, count=16))
    following = studio.follow(job)
    next(event for event in following if isinstance(event, Step))
    ask(studio, "import", model)
    view = until(studio, lambda view: any("converting" in each.what for each in view.imports))
    (import_,) = (each for each in view.imports if each.model == model)
    assert (import_.dtype, import_.problem) == ("fp32", None) and import_.fraction is not None
    assert studio.job(job).state == "running"
    assert view.pending == (), "it is no command that waits for the job's end"
    studio.cancel(job)
    hold.unlink()
    view = until(studio, lambda view: model in view.prepared)
    until(studio, lambda view: all(each.model != model for each in view.imports))
    events = list(studio.follow(studio.submit(requested(model))))
    assert isinstance(events[-1], Done)
    assert not any("convert" in event.what for event in events if isinstance(event, Loading))
