"""Frames: the JPEG of every step of every job, as files, the oldest jobs' going when there are too many bytes.

Knows names and bytes; what a frame shows is the engine's affair.
"""

import re
import shutil
import time
from pathlib import Path

from studio.jobs.database import Database
from studio.jobs.storage import explained, write_atomically

KINDS = ("x0", "xt")
CAP_BYTES = 2 * 2**30
_JOB = re.compile(r"[A-Za-z0-9_-]{1,100}")


class FrameStore:
    """`folder/<job>/<image>-<step>-<kind>.jpg`. Written by the worker, read by the desk."""

    def __init__(self, folder: Path, database: Database, *, cap: int = CAP_BYTES):
        self.folder = folder
        self._database = database
        self._cap = cap

    def put(self, job: str, image: int, step: int, kind: str, jpeg: bytes) -> None:
        with explained("keep the step's preview"):
            write_atomically(self._path(job, image, step, kind), jpeg)

    def get(self, job: str, image: int, step: int, kind: str) -> bytes | None:
        """None if there is no such frame: not yet, no longer, or never."""
        if kind not in KINDS or not _JOB.fullmatch(job):
            return None
        try:
            return self._path(job, int(image), int(step), kind).read_bytes()
        except OSError:
            return None

    def settle(self, job: str) -> None:
        """The job has ended: count its bytes, and let the oldest jobs' frames go while all are over the cap."""
        size = _bytes(self.folder / job)
        with self._database.write("count the previews") as db:
            if size:
                db.execute(
                    "INSERT OR REPLACE INTO frames (job, bytes, ended) VALUES (?, ?, ?)", (job, size, time.time())
                )
            rows = db.execute("SELECT job, bytes FROM frames ORDER BY ended DESC, rowid DESC").fetchall()
        kept, evicted = 0, []
        for row in rows:
            kept += row["bytes"]
            if kept > self._cap and row["job"] != job:
                evicted.append(row["job"])
        for old in evicted:
            shutil.rmtree(self.folder / old, ignore_errors=True)
        if evicted:
            with self._database.write("forget old previews") as db:
                db.executemany("DELETE FROM frames WHERE job = ?", [(old,) for old in evicted])

    def _path(self, job: str, image: int, step: int, kind: str) -> Path:
        return self.folder / job / f"{image}-{step}-{kind}.jpg"


def _bytes(folder: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in folder.iterdir())
    except OSError:
        return 0
