"""Writes a picture to the disk: under a temporary name, synced, then moved to its final name, which must be free.

The temporary file stays until the picture is in the index, and its name contains the process, the job and the final name, so
that another process can finish what a killed one began. Depends on files alone, not on the index.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from PIL import Image

from studio.core import events
from studio.core.errors import Cancelled, StorageError
from studio.core.recipe import Recipe

RETRY_SECONDS = 1.0
KEPT = "The picture is kept until then, and the queue waits."
UNSAVED = "The studio was closed while a picture of {0!r} (seed {1}) waited for room on the disk, so it was not saved."

_NAME = re.compile(r"(?P<pid>\d+)\.(?P<job>[\w-]+)\.(?P<day>\d{4}-\d\d-\d\d)\.(?P<file>[\w-]+\.png)\.tmp")


class Sink(Protocol):
    """Where a run's pictures go: the archive, or a folder of a person's own."""

    @property
    def private(self) -> Path: ...

    def save(self, image: Image.Image, recipe: Recipe, job: str) -> events.Image: ...


@dataclass(frozen=True)
class Unfinished:
    """A temporary file of a process that died: a picture of `job`, whole or not, to be saved at `target`."""

    temporary: Path
    job: str
    target: Path

    @property
    def id(self) -> str:
        """The image's id, with which the file's name ends."""
        return self.target.stem.rpartition("-")[2]

    def finish(self) -> bool:
        """Move the picture to its target if it is not there yet; False if it is not whole."""
        if self.target.is_file():
            return True
        try:
            with Image.open(self.temporary) as image:
                image.load()
        except Exception:  # Pillow's decoders raise nearly anything on damaged data
            return False
        self.target.parent.mkdir(parents=True, exist_ok=True)
        move_without_overwriting(self.temporary, self.target)
        return True


@contextmanager
def publishing(data: bytes, folder: Path, job: str, target: Path) -> Iterator[None]:
    """Within the block `target` exists, whole; the temporary file in `folder` is removed when the block ends."""
    temporary = folder / f"{os.getpid()}.{job}.{target.parent.name}.{target.name}.tmp"
    folder.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move_without_overwriting(temporary, target)
        _sync_folder(target.parent)
        yield
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(folder: Path, outputs: Path) -> Iterator[Unfinished]:
    """The temporary files of dead processes in `folder`; files of other names are removed."""
    for path in list(folder.glob("*.tmp")):
        found = _NAME.fullmatch(path.name)
        if found is None:
            path.unlink(missing_ok=True)
        elif int(found["pid"]) == os.getpid() or not psutil.pid_exists(int(found["pid"])):
            yield Unfinished(path, found["job"], outputs / found["day"] / found["file"])


class PatientSink:
    """Saves into another sink, and tries again while the disk is full or read-only, so that no picture is lost.

    While it waits it reports the reason, once, and stops if the job was cancelled.
    """

    def __init__(self, sink: Sink, emit: Callable[[events.Event], None], cancelled: Callable[[], bool]):
        self._sink, self._emit, self._cancelled = sink, emit, cancelled

    @property
    def private(self) -> Path:
        return self._sink.private

    def save(self, image: Image.Image, recipe: Recipe, job: str) -> events.Image:
        """Raises Cancelled if the job is while it waits."""
        said = ""
        while True:
            try:
                return self._sink.save(image, recipe, job)
            except StorageError as error:
                if str(error) != said:
                    said = str(error)
                    self._emit(events.Waiting(message=f"{said} {KEPT}"))
            if self._cancelled():
                raise Cancelled
            time.sleep(RETRY_SECONDS)


def move_without_overwriting(source: Path, target: Path) -> None:
    """`target` is the file afterwards; where the disk has hard links, `source` is still there too."""
    try:
        os.link(source, target)  # fails if the name is taken, which a rename would not
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(17, "File exists", str(target)) from None
        os.rename(source, target)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where folders can be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
