"""A disk that is full, a folder that may not be written, a folder that is no folder: one sentence, and then it goes on."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.core.errors import StorageError
from studio.core.events import Cancelled, Done, Image, Step, Waiting
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.jobs.saving import UNSAVED
from studio.studio import Studio

REQUEST = GenerationRequest(prompt="a picture", steps=2, seed=1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or _run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)):
        pytest.skip("mounting needs root")
    yield folder
    _run("umount", "-l", str(folder))


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def fill(folder: Path) -> Path:
    """Write until the disk refuses, to the last byte."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        for size in (4096, 64, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return ballast


def end_of(studio: Studio) -> object:
    return list(studio.follow(studio.submit(REQUEST)))[-1]


def test_a_disk_that_becomes_full_pauses_the_queue_and_loses_nothing(
    small_disk: Path, make_studio: Callable[..., Studio]
) -> None:
    studio, hold = make_studio(settings=Settings(outputs=small_disk)), small_disk / "hold"
    hold.touch()
    running, waiting = studio.submit(REQUEST), studio.submit(REQUEST)
    events = studio.follow(running)
    next(event for event in events if isinstance(event, Step))
    ballast = fill(small_disk)
    hold.unlink()
    paused = next(event for event in events if isinstance(event, Waiting))
    assert "the disk is full. Free some space. The picture is kept" in paused.message
    assert studio.job(waiting).state == "queued"
    with pytest.raises(StorageError, match="the disk is full"):
        for _ in range(200):  # the index's last page may have room for a few
            studio.cancel(studio.submit(REQUEST))
    ballast.unlink()
    assert [type(event) for event in events][-2:] == [Image, Done]
    assert isinstance(list(studio.follow(waiting))[-1], Done)
    assert len(studio.images()) == 2
    assert not list(small_disk.rglob("*.tmp"))


def test_who_does_not_want_to_wait_for_room_cancels(small_disk: Path, make_studio: Callable[..., Studio]) -> None:
    studio, hold = make_studio(settings=Settings(outputs=small_disk)), small_disk / "hold"
    hold.touch()
    job = studio.submit(REQUEST)
    events = studio.follow(job)
    next(event for event in events if isinstance(event, Step))
    ballast = fill(small_disk)
    hold.unlink()
    next(event for event in events if isinstance(event, Waiting))
    assert studio.cancel(job)
    assert isinstance(list(events)[-1], Cancelled)
    ballast.unlink()
    assert isinstance(end_of(studio), Done)


def test_a_picture_that_waits_when_the_studio_is_closed_is_named_and_its_run_gone_on_with(
    small_disk: Path, make_studio: Callable[..., Studio], caplog: pytest.LogCaptureFixture
) -> None:
    studio, hold = make_studio(settings=Settings(outputs=small_disk)), small_disk / "hold"
    hold.touch()
    job = studio.submit(REQUEST)
    events = studio.follow(job)
    next(event for event in events if isinstance(event, Step))
    ballast = fill(small_disk)
    hold.unlink()
    next(event for event in events if isinstance(event, Waiting))
    studio.close()
    assert UNSAVED.format("a picture", 1) in caplog.messages
    ballast.unlink()
    studio = make_studio(settings=Settings(outputs=small_disk))
    assert studio.job(job).state == "interrupted"
    assert isinstance(list(studio.follow(studio.resume(job)))[-1], Done)
    assert [picture.seed for picture in studio.images()] == [1]


def test_a_start_on_a_full_disk_says_so(
    small_disk: Path, make_studio: Callable[..., Studio], caplog: pytest.LogCaptureFixture
) -> None:
    ballast = fill(small_disk)
    studio = make_studio(settings=Settings(outputs=small_disk))
    assert studio.jobs() == [] and studio.images() == []
    with pytest.raises(StorageError, match=r"^Could not .*: the disk is full. Free some space.$"):
        studio.submit(REQUEST)
    assert any("the disk is full" in message for message in caplog.messages)
    assert "rollback" not in caplog.text
    assert len([message for message in caplog.messages if "take a job" in message]) <= 1, "it is tried every second"
    ballast.unlink()
    assert isinstance(end_of(studio), Done)


def test_a_folder_that_becomes_read_only(small_disk: Path, make_studio: Callable[..., Studio]) -> None:
    studio = make_studio(settings=Settings(outputs=small_disk))
    assert isinstance(end_of(studio), Done)
    studio.close()
    assert _run("mount", "-o", "remount,ro", str(small_disk)) == 0
    studio = make_studio(settings=Settings(outputs=small_disk))
    assert studio.jobs() == [] and studio.images() == [] and studio.models()
    with pytest.raises(StorageError, match=r"Could not .*outputs folder"):
        studio.submit(REQUEST)
    assert _run("mount", "-o", "remount,rw", str(small_disk)) == 0
    assert isinstance(end_of(studio), Done)
    assert len(studio.images()) == 2


def test_an_outputs_folder_that_is_a_file(make_studio: Callable[..., Studio], tmp_path: Path) -> None:
    blocked = tmp_path / "outputs"
    blocked.write_text("in the way")
    studio = make_studio(settings=Settings(outputs=blocked))
    assert studio.jobs() == [] and studio.images() == []
    with pytest.raises(StorageError) as caught:
        studio.submit(REQUEST)
    assert str(tmp_path) not in str(caught.value)
    blocked.unlink()
    assert isinstance(end_of(studio), Done)


def test_two_studios_do_not_share_a_folder(make_studio: Callable[..., Studio]) -> None:
    first = make_studio()
    assert isinstance(end_of(first), Done)
    for file in (first.settings.outputs / ".unnoise").glob("*"):
        if not file.name.startswith("studio.db"):  # a lock file, if there were one
            _run("rm", "-rf", str(file))
        with pytest.raises(StorageError, match="Another Unnoise is running"):
            make_studio()
    first.close()
    assert isinstance(end_of(make_studio()), Done)


def test_a_deleted_folder_is_of_the_studio_that_makes_it_anew(make_studio: Callable[..., Studio]) -> None:
    first = make_studio()
    _run("rm", "-rf", str(first.settings.outputs))
    second = make_studio()
    with pytest.raises(StorageError, match="Another Unnoise is running"):
        first.submit(REQUEST)
    assert isinstance(end_of(second), Done)
    second.close()
    assert isinstance(end_of(first), Done)


def test_deleting_everything_while_it_runs_loses_only_what_was_deleted(studio: Studio) -> None:
    assert isinstance(end_of(studio), Done)
    _run("rm", "-rf", str(studio.settings.outputs))
    assert studio.jobs() == [] and studio.images() == []
    assert isinstance(end_of(studio), Done)
    assert len(studio.images()) == 1
