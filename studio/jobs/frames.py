"""Frames: the JPEGs of a job's steps, one after another in one file a job; the oldest jobs' files are removed over a limit.

One file a frame would take longer to create than the frame to draw. A record is a short header and the JPEG; what follows
the last whole record (a write that was cut short) is ignored. Depends on names and bytes, not on what a frame shows.
"""

import errno
import os
import re
import struct
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.frames import FRAMES
from studio.jobs.database import Database
from studio.jobs.storage import explained

CAP_BYTES = 2 * 2**30
CAP_JOBS = 2000
KNOWN_FILMS = 32  # jobs whose frame positions a reader keeps
_HEAD = struct.Struct("<4sIIBI")  # mark, image, step, kind, length of the JPEG that follows
_MARK = b"UNFR"
_FORGET_STEPS = "DELETE FROM events WHERE job = ? AND json_extract(event, '$.kind') IN ('loading', 'step')"
_JOB = re.compile(r"[A-Za-z0-9_-]{1,100}")

Key = tuple[int, int, int]  # image, step, kind


@dataclass
class _Film:
    """A reader's index of a job's file: the position of each frame, and how far the file has been read."""

    read_to: int = 0
    places: dict[Key, tuple[int, int]] = field(default_factory=dict)  # (offset, length)


class FrameStore:
    """`folder/<job>.frames`. Written by the worker, read by the studio."""

    def __init__(self, folder: Path, database: Database, *, cap: int = CAP_BYTES, jobs: int = CAP_JOBS):
        self.folder = folder
        self._database = database
        self._cap, self._jobs = cap, jobs
        self._writing: tuple[str, int] | None = None  # job, descriptor
        self._films: OrderedDict[str, _Film] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, job: str, image: int, step: int, kind: str, jpeg: bytes) -> None:
        """Raises StorageError, and leaves the frames that are there as they are."""
        record = _HEAD.pack(_MARK, image, step, FRAMES.get(kind).number, len(jpeg)) + jpeg
        with self._lock, explained("keep the step's preview"):
            descriptor = self._opened(job)
            end = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                if os.write(descriptor, record) < len(record):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(descriptor, end)
                raise

    def get(self, job: str, image: int, step: int, kind: str) -> bytes | None:
        """None if there is no such frame: not yet, no longer, or never."""
        if kind not in FRAMES or not _JOB.fullmatch(job):
            return None
        try:
            with self._path(job).open("rb") as file, self._lock:
                place = self._places(job, file.fileno()).get((int(image), int(step), FRAMES.get(kind).number))
                return None if place is None else os.pread(file.fileno(), place[1], place[0])
        except OSError:
            return None

    def film(self, job: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        """(step, JPEG) of every frame of an image, far apart steps first. A file that is removed meanwhile is read to its end."""
        if kind not in FRAMES or not _JOB.fullmatch(job):
            return
        try:
            with self._path(job).open("rb") as file:
                with self._lock:
                    places = dict(self._places(job, file.fileno()))
                wanted = {
                    step: place for (i, step, k), place in places.items() if (i, k) == (image, FRAMES.get(kind).number)
                }
                for step in spread(wanted):
                    start, length = wanted[step]
                    yield step, os.pread(file.fileno(), length, start)
        except OSError:
            return

    def settle(self, job: str) -> None:
        """The job has ended: count the bytes of its steps, and remove those of the oldest jobs while all are over a limit.

        The events of removed steps go too, so that their frames are not asked for. The job, its end and its images stay.
        """
        with self._database.write("count the previews") as db:
            events = db.execute("SELECT COALESCE(SUM(LENGTH(event)), 0) FROM events WHERE job = ?", (job,)).fetchone()[
                0
            ]
            size = _bytes(self._path(job)) + int(events)
            if size:
                db.execute(
                    "INSERT OR REPLACE INTO frames (job, bytes, ended) VALUES (?, ?, ?)", (job, size, time.time())
                )
            rows = db.execute("SELECT job, bytes FROM frames ORDER BY ended DESC, rowid DESC").fetchall()
        kept, evicted = 0, []
        for number, row in enumerate(rows):
            kept += row["bytes"]
            if (kept > self._cap or number >= self._jobs) and row["job"] != job:
                evicted.append((row["job"],))
        for (old,) in evicted:
            self._path(old).unlink(missing_ok=True)
        if evicted:
            with self._database.write("forget old previews") as db:
                db.executemany(_FORGET_STEPS, evicted)
                db.executemany("DELETE FROM frames WHERE job = ?", evicted)

    def forget(self, jobs: Iterable[str]) -> None:
        """These jobs are known no more."""
        gone = [(job,) for job in jobs]
        for (job,) in gone:
            self._path(job).unlink(missing_ok=True)
        if gone:
            with self._database.write("forget old previews") as db:
                db.executemany("DELETE FROM frames WHERE job = ?", gone)

    def sweep(self) -> None:
        """Remove the files of jobs that are not in the index, as after its loss."""
        with self._database.read("read the queue") as db:
            known = {row["id"] for row in db.execute("SELECT id FROM jobs").fetchall()}
        for entry in self.folder.glob("*"):
            if entry.suffix == ".frames" and entry.stem not in known:
                entry.unlink(missing_ok=True)

    def _opened(self, job: str) -> int:
        """The descriptor of the job's file. The last one is kept open, since a job's frames come one after another."""
        if self._writing is not None and self._writing[0] == job:
            return self._writing[1]
        if self._writing is not None:
            os.close(self._writing[1])
            self._writing = None
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path(job), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._writing = (job, descriptor)
        return descriptor

    def _places(self, job: str, descriptor: int) -> dict[Key, tuple[int, int]]:
        """Every whole frame of the file; only what was added since the last call is read."""
        film = self._films.setdefault(job, _Film())
        self._films.move_to_end(job)
        while len(self._films) > KNOWN_FILMS:
            self._films.popitem(last=False)
        size = os.fstat(descriptor).st_size
        if size < film.read_to:  # a record that could not be finished was taken back, and this is another one
            film.read_to, film.places = 0, {}
        while film.read_to + _HEAD.size <= size:
            mark, image, step, kind, length = _HEAD.unpack(os.pread(descriptor, _HEAD.size, film.read_to))
            start = film.read_to + _HEAD.size
            if mark != _MARK or start + length > size:
                break
            film.places[image, step, kind] = (start, length)
            film.read_to = start + length
        return film.places

    def _path(self, job: str) -> Path:
        return self.folder / f"{job}.frames"


def spread(steps: Iterable[int]) -> list[int]:
    """Far apart ones first: 0, then the multiples of a large power of two, then those of half of it, and so on."""
    return sorted(steps, key=lambda step: (-(step & -step) if step else -sys.maxsize, step))


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
