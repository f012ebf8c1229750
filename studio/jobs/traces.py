"""Traces: one file for each picture's run, by the hash of its pixels; the oldest are removed over a limit.

Depends on names and sizes, not on what a trace holds.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio.core.traces import SUFFIX, NoTrace
from studio.jobs.storage import below, explained

STALE = 3600.0  # seconds after which an unfinished file is a dead process's
_HEX = set("0123456789abcdef")


class TraceStore:
    """`folder/<pixels>.safetensors`, of together at most `cap` bytes. Written by the worker, read by the studio."""

    def __init__(self, folder: Path, cap: int):
        self.folder, self.cap = folder, cap
        self._total: int | None = None  # bytes, as far as this process knows
        self._lock = threading.Lock()

    @property
    def keeps(self) -> bool:
        """Whether there is any use in recording one."""
        return self.cap > 0

    def put(self, pixels: str, write: Callable[[Path], None]) -> None:
        """Keep what `write` puts into the file that it is given. Raises StorageError."""
        target = self._place(pixels)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with self._lock, explained("keep the trace"):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                write(temporary)
                size = temporary.stat().st_size
                if size <= self.cap:
                    os.replace(temporary, target)
                    self._make_room(target, size)
            finally:
                temporary.unlink(missing_ok=True)

    def path(self, pixels: str) -> Path:
        """The file of a picture's trace; raises NoTrace."""
        path = self._place(pixels)
        if not path.is_file():
            raise NoTrace
        return path

    def _place(self, pixels: str) -> Path:
        if len(pixels) != 64 or not set(pixels) <= _HEX:
            raise NoTrace
        return below(self.folder, f"{pixels}{SUFFIX}")

    def _make_room(self, newest: Path, size: int) -> None:
        """Remove the oldest files but the newest while all together are over the limit."""
        self._total = None if self._total is None else self._total + size
        if self._total is not None and self._total <= self.cap:
            return
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.iterdir())
        self._total = sum(bytes for _, bytes, _ in files)
        for written, bytes, path in files:
            stale = path.suffix == ".tmp" and written < time.time() - STALE
            if stale or (self._total > self.cap and path != newest and path.suffix == SUFFIX):
                path.unlink(missing_ok=True)
                self._total -= bytes
