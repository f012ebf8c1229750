"""Single files on their way to diffusers folders: one conversion at a time, each in a child process, whoever asked for it.

What a person asks for goes on until it is done or stopped. A job joins the conversion that is under way, or begins it ahead
of those that wait; when the job leaves and nobody else wants the conversion, it is dropped, and nothing half made stays.
Handles processes and progress; reads no tensor. No torch.
"""

import json
import logging
import os
import pickle
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError, StorageError, StudioError
from studio.core.memory import ImportView
from studio.manager.conversion.converted_folders import Conversion, discard_partial

log = logging.getLogger(__name__)

CHILD = "studio.manager.conversion.converter"
LOOK = 0.25  # seconds between two looks of a job at how far its conversion is
LEAVE = 0.5  # seconds that a job which leaves gives the child to end and to remove what it had half made
MOVE = "import"  # what the ledger calls a conversion
START_SECONDS = 4.0  # until the converter has its libraries
RATE = 150e6  # bytes a second on an ordinary disk, where nothing was converted yet
SHORTEST = 0.2  # seconds of work from which a rate can be computed
Report = Callable[[str, float | None], None]


@dataclass(eq=False)
class Run:
    """A conversion that waits or is under way. Guarded by the condition of its Imports."""

    conversion: Conversion
    kept: bool = False  # a person asked for it
    waiters: int = 0  # jobs that wait for it
    what: str = "waiting"
    fraction: float | None = None
    process: subprocess.Popen[str] | None = None
    dropped: bool = False
    over: bool = False
    error: StudioError | None = None

    @property
    def model(self) -> str:
        return self.conversion.info.id

    def view(self) -> ImportView:
        if self.error is not None:
            return ImportView(model=self.model, dtype=self.conversion.dtype, problem=str(self.error))
        return ImportView(model=self.model, dtype=self.conversion.dtype, what=self.what, fraction=self.fraction)


class Imports:
    """`folders` are where a child may look for tokenizers; `changed` is called, from any thread, when `views` has changed,
    and `made` with the seconds that a conversion took when it is done."""

    def __init__(self, folders: tuple[Path, ...], made: Callable[[Conversion, float], None]):
        self.changed: Callable[[], None] = lambda: None
        self._folders, self._made = folders, made
        self._lock = threading.Condition()
        self._waiting: list[Run] = []
        self._running: Run | None = None
        self._failed: dict[str, tuple[ImportView, Conversion | None]] = {}  # None: it could not even be begun
        self._thread: threading.Thread | None = None

    def prepare(self, conversion: Conversion) -> None:
        """Have it converted in the background."""
        with self._lock:
            self._failed.pop(conversion.info.id, None)
            if not conversion.complete:
                self._join(conversion, first=False).kept = True
        self._emit()

    def folder(self, conversion: Conversion, report: Report = lambda what, fraction: None) -> Path:
        """The converted folder, once it is there. What `report` raises ends the wait. Raises ModelError, StorageError."""
        if conversion.complete:
            return conversion.target
        with self._lock:
            run = self._join(conversion, first=True)
            run.waiters += 1
        try:
            over = False
            while not over:
                with self._lock:
                    what, fraction, other = run.what, run.fraction, self._running
                if other not in (run, None):
                    what, fraction = f"waiting until {other.conversion.info.title} is converted", None
                report(what, fraction)
                with self._lock:
                    over = self._lock.wait_for(lambda: run.over, timeout=LOOK)
        finally:
            with self._lock:
                run.waiters -= 1
                if not run.waiters and not run.kept:
                    self._drop(run)
                    self._lock.wait_for(lambda: run.over, timeout=LEAVE)
        if run.error is not None:
            raise type(run.error)(str(run.error))
        return conversion.target

    def cancel(self, model: str) -> None:
        """Stop the conversions of a model, and forget why its last one failed. A job that waits for one fails."""
        with self._lock:
            self._failed.pop(model, None)
            for run in self._runs():
                if run.model == model:
                    self._drop(run)
        self._emit()

    def fail(self, model: str, dtype: str, problem: str) -> None:
        """Note a request that could not even be begun."""
        with self._lock:
            self._failed[model] = (ImportView(model=model, dtype=dtype, problem=problem), None)
        self._emit()

    def views(self) -> tuple[ImportView, ...]:
        """What is under way, what waits, what failed and has not been tried again since."""
        with self._lock:
            failed = self._failed.items()
            self._failed = {
                model: (view, c) for model, (view, c) in failed if c is None or (c.current and not c.complete)
            }
            runs = [run.view() for run in self._runs() if not run.dropped and not run.conversion.complete]
            return (*runs, *(view for view, _ in self._failed.values()))

    def _runs(self) -> list[Run]:
        return [*([self._running] if self._running else []), *self._waiting]

    def _join(self, conversion: Conversion, *, first: bool) -> Run:
        self._failed.pop(conversion.info.id, None)
        same = (run for run in self._runs() if run.conversion.target == conversion.target and not run.dropped)
        run = next(same, None) or Run(conversion)
        if run is not self._running and (first or run not in self._waiting):
            others = [other for other in self._waiting if other is not run]
            self._waiting = [run, *others] if first else [*others, run]
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="imports", daemon=True)
            self._thread.start()
        return run

    def _drop(self, run: Run) -> None:
        """The thread does the rest when the child has ended."""
        run.dropped = True
        if run.process is not None:
            run.process.kill()
        elif run in self._waiting:
            self._waiting.remove(run)
            self._conclude(run, None)

    def _conclude(self, run: Run, error: StudioError | None) -> None:
        if run.dropped and not run.conversion.complete:
            error = ModelError(f"The conversion of {run.conversion.name} was stopped.")
        run.over, run.error = True, error
        if error is not None and not run.dropped:
            log.warning("%s", error)
            with suppress(StudioError):  # a file that is gone is listed no more
                self._failed[run.model] = (run.view(), run.conversion.again())
        self._lock.notify_all()

    def _emit(self) -> None:
        try:
            self.changed()
        except Exception:  # it may look at a disk that refuses; what is under way goes on
            log.exception("What is imported could not be reported.")

    # -- in the thread that runs while there is something to convert

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                run = self._running = self._waiting.pop(0)
                run.what, run.fraction = "starting the converter", 0.0
            self._emit()
            began, error = time.monotonic(), None
            try:
                error = self._convert(run)
                if error is None:
                    self._made(run.conversion, time.monotonic() - began)
            except OSError as refused:  # no room for another process
                error = StorageError(f"{run.conversion.name} could not be converted: {refused.strerror}.")
            except Exception:  # whatever it is, a job that waits is to hear of it
                log.exception("A conversion ended unexpectedly.")
                error = ModelError(f"{run.conversion.name} could not be converted; the log says more.")
            discard_partial(run.conversion)
            with self._lock:
                self._running = None
                self._conclude(run, error)
            self._emit()

    def _convert(self, run: Run) -> StudioError | None:
        """Start the child and listen to it to its end; what went wrong, if anything did."""
        task = pickle.dumps((run.conversion, tuple(folder.absolute() for folder in self._folders)))
        process = subprocess.Popen(
            [sys.executable, "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=Path(__file__).resolve().parents[3],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl+C is for us
        )
        assert process.stdin is not None and process.stdout is not None
        with self._lock:
            run.process = process
            if run.dropped:
                process.kill()
        ending: dict[str, Any] = {}
        with process:  # its standard input stays open until it ends: it ends when that does
            with suppress(OSError):  # of one that is dead already; its exit status says the rest
                process.stdin.write(task.hex() + "\n")
                process.stdin.flush()
            for line in process.stdout:
                with suppress(ValueError):  # half a line of a killed child
                    ending = json.loads(line)
                    if "what" in ending:
                        with self._lock:
                            run.what, run.fraction = ending["what"], ending["fraction"]
                        self._emit()
        return outcome(run.conversion, ending, process.returncode)


def outcome(conversion: Conversion, ending: dict[str, Any], status: int) -> StudioError | None:
    """What went wrong with a child whose last words and exit status these are; None if nothing did."""
    if ending.get("done") and conversion.complete:
        return None
    if "problem" in ending:
        return (StorageError if ending.get("storage") else ModelError)(ending["problem"])
    killed = "was killed, as the system does when memory runs out"
    cut = "could not read on: the file was cut short meanwhile"
    why = {-9: killed, -7: cut}.get(status, f"stopped (exit code {status})")
    return ModelError(f"The converter of {conversion.name} {why}. Nothing half made was left; try again.")


def expected_seconds(size: int, rows: Iterable[Mapping[str, Any]]) -> float:
    """Of converting a file of `size` bytes, judged by those of the ledger's `rows` that are conversions."""
    rates = [
        row["measured"] / max(row["seconds"] - START_SECONDS, SHORTEST)
        for row in rows
        if row.get("move") == MOVE and row.get("measured") and row.get("seconds")
    ]
    return START_SECONDS + size / (statistics.median(rates) if rates else RATE)
