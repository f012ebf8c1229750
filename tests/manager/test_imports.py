"""A conversion is a process of its own: heard of while it runs, joined, left, killed; it never leaves anything half made."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import Cancelled, ModelError, StorageError
from studio.core.models import Override
from studio.core.settings import Settings
from studio.manager.conversion import converter, imports
from studio.manager.conversion.converted_folders import claimed
from studio.manager.manager import Manager
from tests.manager import small_child
from tests.models import single_files, tiny_models
from tests.models.conversions import convert_here
from tests.sweeps import one_in

compat.prepare()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD in diffusers' layout, and below it the same as one file."""
    folder = tiny_models.stable_diffusion(tmp_path_factory.mktemp("source") / "sd", vae="kl", tokens=77)
    single_files.sd1_checkpoint(folder.parent / "single/tiny.safetensors", folder)
    return folder


@pytest.fixture
def small(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SD 1 is as small as the test's, here and in the child."""
    small_child.shrink(monkeypatch, "sd1", source)
    monkeypatch.setattr(imports, "CHILD", small_child.__name__)
    monkeypatch.setenv(small_child.SOURCE + "sd1", str(source))


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, a conversion does not begin; a test may write there at what it is to stop instead."""
    file = tmp_path / "hold"
    file.write_text(small_child.START)
    monkeypatch.setenv(small_child.HOLD, str(file))
    return file


@pytest.fixture
def held_here(hold: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `hold`, for conversions in this process, where that they are processes is not what is tested."""
    for name in ("import_checkpoint", "convert"):
        monkeypatch.setattr(converter, name, getattr(converter, name))  # taken back at the end
    small_child.hold_back(hold)
    convert_here(monkeypatch)
    return hold


@pytest.fixture
def make_manager(source: Path, small: None, tmp_path: Path) -> Callable[..., Manager]:
    models = tmp_path / "models"
    shutil.copytree(source.parent / "single", models / "checkpoints")
    single_files.clip_files(models / "tokenizers/clip")

    def make(outputs: Path = tmp_path / "out") -> Manager:
        return Manager(Settings(models=(models,), outputs=outputs, device="cpu"))

    return make


@pytest.fixture
def manager(make_manager: Callable[..., Manager]) -> Iterator[Manager]:
    manager = make_manager()
    yield manager
    for info in manager.catalog.models():
        manager.imports.cancel(info.id)
    wait_for(lambda: not running(manager))


def wait_for(true: Callable[[], Any], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def running(manager: Manager) -> bool:
    """Whether anything is under way, waits, or is being taken away."""
    return manager.imports._thread is not None


def left(manager: Manager) -> list[str]:
    """What lies in the folder of converted files, but for its lock."""
    place = manager.settings.outputs / ".unnoise/imported"
    return sorted(path.name for path in place.iterdir() if path.name != ".lock") if place.is_dir() else []


def converting(manager: Manager) -> bool:
    return any("converting" in view.what for view in manager.imports.views())


def child_of(manager: Manager) -> int:
    run = manager.imports._running
    assert run is not None and run.process is not None
    return run.process.pid


@pytest.mark.parametrize("in_a_child", one_in(2, [False, True]))  # a whole one in a child: tests/faults, by default
def test_it_goes_on_in_the_background_and_says_how_far_it_is(
    in_a_child: bool, manager: Manager, make_manager: Callable[..., Manager], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_a_child:
        convert_here(monkeypatch)
    (info,) = manager.catalog.models()
    reported: list[Any] = []
    manager.imports.changed = lambda: reported.extend(manager.imports.views())
    assert manager.prepared() == ()
    manager.imports.prepare(manager.conversion(info, "bf16"))
    wait_for(lambda: manager.prepared() == (info.id,))
    wait_for(lambda: not running(manager))
    assert manager.imports.views() == ()
    fractions = [view.fraction for view in reported if view.fraction is not None]
    assert {view.model for view in reported} == {info.id} and {view.dtype for view in reported} == {"bf16"}
    assert fractions == sorted(fractions) and len(set(fractions)) >= 3 and 0 <= fractions[0] <= fractions[-1] <= 1
    assert any(view.what == "converting unet" for view in reported)
    (folder,) = left(manager)
    reported.clear()
    manager.imports.prepare(manager.conversion(info, "bf16"))
    assert reported == [] and manager.imports.views() == () and not running(manager)
    again = make_manager()  # as after a restart
    assert again.prepared() == (info.id,)
    with again.lease(
        info, "bf16", lambda what, fraction: reported.append(what) if "convert" in what else None
    ) as loaded:
        assert loaded.folder.name == folder
    assert reported == []


def test_a_cancelled_job_ends_the_conversion_wherever_it_is_and_nothing_stays(
    manager: Manager, hold: Path, monkeypatch: Any
) -> None:
    (info,) = manager.catalog.models()

    def report(what: str, fraction: float | None) -> None:
        if "converting" in what:
            raise Cancelled

    with pytest.raises(Cancelled), manager.lease(info, "fp32", report):
        pass
    wait_for(lambda: not running(manager))
    assert left(manager) == [] and manager.imports.views() == ()
    convert_here(monkeypatch)
    with manager.lease(info, "fp32"):
        pass


def test_what_a_person_asked_for_goes_on_when_the_job_that_waits_is_cancelled(
    manager: Manager, held_here: Path
) -> None:
    (info,) = manager.catalog.models()
    manager.imports.prepare(manager.conversion(info, "fp32"))

    def report(what: str, fraction: float | None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled), manager.lease(info, "fp32", report):
        pass
    assert running(manager)
    held_here.unlink()
    wait_for(lambda: manager.prepared() == (info.id,))


def test_a_killed_converter_is_one_sentence_and_the_next_try_works(
    manager: Manager, hold: Path, monkeypatch: Any
) -> None:
    (info,) = manager.catalog.models()
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: converting(manager))
    os.kill(child_of(manager), signal.SIGKILL)
    wait_for(lambda: not running(manager))
    (view,) = manager.imports.views()
    assert view.problem == (
        "The converter of tiny.safetensors was killed, as the system does when memory runs out. "
        "Nothing half made was left; try again."
    )
    assert left(manager) == []
    convert_here(monkeypatch)
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: manager.prepared() == (info.id,))
    assert manager.imports.views() == ()


def test_a_person_stops_it_and_the_job_that_waits_is_told(manager: Manager, hold: Path) -> None:
    (info,) = manager.catalog.models()

    def report(what: str, fraction: float | None) -> None:
        if "converting" in what:
            manager.imports.cancel(info.id)

    with pytest.raises(ModelError, match=r"conversion of tiny\.safetensors was stopped"):
        manager.lease(info, "fp32", report).__enter__()
    assert left(manager) == [] and manager.imports.views() == ()


def test_an_original_that_is_changed_meanwhile(manager: Manager, held_here: Path) -> None:
    (info,) = manager.catalog.models()
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: converting(manager))
    os.utime(manager.catalog.path(info.id), ns=(1, 1))
    held_here.unlink()
    wait_for(lambda: not running(manager))
    assert left(manager) == []
    problems = [view.problem for view in manager.imports.views()]
    assert problems == ["tiny.safetensors was changed while it was converted; nothing was kept. Try again."]
    (info,) = manager.catalog.models()
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: manager.prepared() == (info.id,))


@pytest.mark.parametrize("deed", ["deleted", "cut short"])
def test_an_original_that_goes_meanwhile(manager: Manager, hold: Path, deed: str) -> None:
    (info,) = manager.catalog.models()
    file = manager.catalog.path(info.id)
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: converting(manager))
    if deed == "deleted":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 4)
    hold.unlink()
    wait_for(lambda: not running(manager))
    assert left(manager) == []
    problems = [view.problem for view in manager.imports.views()]
    if deed == "deleted":
        assert problems == []  # nor is the model listed any more
    else:
        assert len(problems) == 1 and problems[0].endswith("."), problems  # its header, or its tensors, tell first


def test_one_at_a_time_and_a_job_goes_first(manager: Manager, monkeypatch: Any) -> None:
    (info,) = manager.catalog.models()
    file = manager.catalog.path(info.id)
    for name in ("second", "third"):
        shutil.copy(file, file.with_stem(name))
    models = {info.title: info for info in manager.catalog.models()}
    order: list[str] = []

    def reported() -> None:
        views = [view for view in manager.imports.views() if view.fraction is not None]
        assert len(views) <= 1
        order.extend(view.model for view in views if view.model not in order)

    convert_here(monkeypatch)
    convert, asked = imports.Imports._convert, threading.Event()
    monkeypatch.setattr(imports.Imports, "_convert", lambda self, run: asked.wait(60) and convert(self, run))
    manager.imports.changed = reported
    manager.imports.prepare(manager.conversion(models["tiny"], "fp32"))
    wait_for(lambda: order)
    manager.imports.prepare(manager.conversion(models["second"], "fp32"))
    waits: list[str] = []

    def report(what: str, fraction: float | None) -> None:
        waits.append(what)
        asked.set()

    manager.imports.folder(manager.conversion(models["third"], "fp32"), report)
    wait_for(lambda: len(manager.prepared()) == 3)
    assert order == [models[name].id for name in ("tiny", "third", "second")]
    assert "waiting until tiny is converted" in waits


def test_the_converter_dies_with_who_started_it_and_the_next_start_sweeps(manager: Manager, hold: Path) -> None:
    (models,), place = manager.settings.models, manager.settings.outputs / ".unnoise/imported"
    program = f"""
import os, time
from pathlib import Path
from studio.manager.conversion import imports
from studio.manager.conversion.converted_folders import conversion_of
from studio.manager.disk.catalog import Catalog
from tests.manager import small_child
small_child.shrink_families()
imports.CHILD = small_child.__name__
catalog = Catalog((Path({str(models)!r}),), None)
(info,) = catalog.models()
conversion = conversion_of(info, catalog.path(info.id), "fp32", Path({str(place)!r}), catalog.beside(info))
running = imports.Imports((Path({str(models)!r}),), made=lambda *_: None)
running.prepare(conversion)
while not any("converting" in view.what for view in running.views()):
    time.sleep(0.02)
(conversion.target.parent / (conversion.target.name + ".partial-1")).mkdir()
print(running._running.process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    child = int(done.stdout)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    assert any(".partial-" in name for name in left(manager))
    manager.sweep()
    assert left(manager) == []


def test_what_is_of_no_more_use_is_swept(manager: Manager, monkeypatch: Any) -> None:
    convert_here(monkeypatch)
    (info,) = manager.catalog.models()
    file = manager.catalog.path(info.id)
    with manager.lease(info, "fp32"):
        pass
    whole = left(manager)
    place = manager.settings.outputs / ".unnoise/imported"
    (place / "half.partial-1").mkdir()
    (place / "of-another-version").mkdir()
    with claimed(place, wait=False) as mine:
        assert mine
        manager.sweep()
        assert "half.partial-1" in left(manager), "somebody may be at work on it"
    manager.sweep()
    assert left(manager) == whole
    away = file.parent.rename(file.parent.with_name("unplugged"))
    manager.sweep()
    assert left(manager) == whole, "its disk may come back"
    away.rename(file.parent)
    file.unlink()
    manager.sweep()
    assert left(manager) == []


def test_another_word_on_what_it_predicts_means_another_folder(manager: Manager, monkeypatch: Any) -> None:
    convert_here(monkeypatch)
    (info,) = manager.catalog.models()
    with manager.lease(info, "fp32"):
        pass
    assert manager.prepared() == (info.id,)
    manager.catalog.overrides.write(manager.catalog.path(info.id), Override(prediction="v_prediction", title="Mine"))
    assert manager.prepared() == ()
    manager.catalog.overrides.write(manager.catalog.path(info.id), Override(prediction=None))
    assert manager.prepared() == (info.id,), "a new title is no reason to convert again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.name == "posix" and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def test_a_disk_that_fills_up_meanwhile(
    make_manager: Callable[..., Manager], small_disk: Path, held_here: Path
) -> None:
    manager = make_manager(small_disk)
    held_here.write_text("unet")
    (info,) = manager.catalog.models()
    manager.imports.prepare(manager.conversion(info, "fp32"))
    wait_for(lambda: converting(manager))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    held_here.unlink()
    wait_for(lambda: not running(manager))
    (view,) = manager.imports.views()
    assert (view.problem and "No space left" in view.problem) or "disk is full" in view.problem
    assert left(manager) == []
    with pytest.raises(StorageError), manager.lease(info, "fp32"):
        pass
    ballast.unlink()
    with manager.lease(info, "fp32"):
        pass
