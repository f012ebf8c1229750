"""Generation and training share a machine: while pictures are made, training runs wait between two steps.

The worker locks a file beside the runs for the length of a job; a run that finds it locked before a step waits. The system
releases the lock when the worker ends, however it ends. Independent of torch and of what is trained.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE = ".making-pictures"
LOOK_SECONDS = 0.1


@contextmanager
def making_pictures(runs: Path) -> Iterator[None]:
    """The runs in this folder wait meanwhile. A folder that cannot be written to keeps none waiting."""
    lock = None
    with suppress(OSError):
        runs.mkdir(parents=True, exist_ok=True)
        lock = _open(runs, os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_SH)  # of several studios each may
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def pictures_are_made(runs: Path) -> bool:
    try:
        lock = _open(runs)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


def wait_for_pictures(runs: Path, stopping: Callable[[], bool]) -> float:
    """Seconds waited until none is made, or until `stopping`."""
    began = time.perf_counter()
    while pictures_are_made(runs) and not stopping():
        time.sleep(LOOK_SECONDS)
    return time.perf_counter() - began


def _open(runs: Path, more: int = 0) -> int:
    return os.open(runs / FILE, os.O_RDWR | os.O_CLOEXEC | more, 0o644)
