"""Single files on their way to diffusers folders: one conversion at a time, each in a child process, whoever asked for it.

A person's wish goes on until it is done or stopped. A job joins the conversion that is under way, or begins it ahead of
those that wait; when the job leaves and nobody else wants the conversion, it is dropped, and nothing half made stays.
Knows processes and progress; refuses to know tensors. No torch.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError, StorageError, StudioError
from studio.core.memory import ImportView
from studio.manager.conversion.imported import Conversion, conversion_of, discard_partial

log = logging.getLogger(__name__)

CHILD = "studio.manager.conversion.import_child"
PATIENCE = 0.25  # seconds between two looks of a job at how far its conversion is
GOODBYE = 0.5  # seconds that a job which leaves gives the child to be gone, with what it had half made
Report = Callable[[str, float | None], None]


@dataclass(eq=False)
class _Run:
    """A conversion that waits or is under way. Guarded by the condition of its Imports."""

    conversion: Conversion
    kept: bool = False  # a person asked for it
    waiters: int = 0  # jobs that wait for it
    what: str = ""
    fraction: float | None = None
    process: subprocess.Popen[str] | None = None
    dropped: bool = False
    over: bool = False
    error: StudioError | None = None


class Imports:
    """`folders` are where a child may look for tokenizers; `told` is called, from any thread, when `views` has changed, and
    `made` with the seconds that a conversion took when it is done."""

    def __init__(
        self,
        folders: tuple[Path, ...],
        told: Callable[[], None] = lambda: None,
        made: Callable[[Conversion, float], None] = lambda conversion, seconds: None,
    ):
        self._folders, self.told, self._made = folders, told, made
        self._changed = threading.Condition()
        self._waiting: list[_Run] = []
        self._running: _Run | None = None
        self._failed: dict[str, tuple[Conversion | None, ImportView]] = {}
        self._thread: threading.Thread | None = None

    def prepare(self, conversion: Conversion) -> None:
        """Have it converted in the background."""
        with self._changed:
            self._failed.pop(conversion.info.id, None)
            if not conversion.complete:
                self._join(conversion, first=False).kept = True
        self._tell()

    def folder(self, conversion: Conversion, report: Report = lambda what, fraction: None) -> Path:
        """The converted folder, once it is there. What `report` raises ends the wait. Raises ModelError, StorageError."""
        if conversion.complete:
            return conversion.target
        with self._changed:
            run = self._join(conversion, first=True)
            run.waiters += 1
        try:
            report(*self._progress(run))  # a conversion may be over sooner than anybody looks again
            while not self._is_over(run):
                report(*self._progress(run))
        finally:
            with self._changed:
                run.waiters -= 1
                if not run.waiters and not run.kept and not run.over:
                    self._drop(run)
                    self._changed.wait_for(lambda: run.over, timeout=GOODBYE)
        if run.error is not None:
            raise type(run.error)(str(run.error))
        return conversion.target

    def cancel(self, model: str) -> None:
        """Stop the conversions of a model, and forget why its last one failed. A job that waits for one fails."""
        with self._changed:
            self._failed.pop(model, None)
            for run in self._runs():
                if run.conversion.info.id == model:
                    self._drop(run)
        self._tell()

    def fail(self, model: str, dtype: str, problem: str) -> None:
        """Note a wish that could not even be begun."""
        with self._changed:
            self._failed[model] = (None, ImportView(model=model, dtype=dtype, problem=problem))
        self._tell()

    def views(self) -> tuple[ImportView, ...]:
        """What is under way, what waits, what failed and has not been tried again since."""
        with self._changed:
            self._failed = {
                m: (c, v) for m, (c, v) in self._failed.items() if c is None or (c.current and not c.complete)
            }
            runs = [_view(run) for run in self._runs() if not run.dropped and not run.conversion.complete]
            return (*runs, *(view for _, view in self._failed.values()))

    # -- the rest is for the thread that runs while there is something to convert

    def _runs(self) -> list[_Run]:
        return [*([self._running] if self._running else []), *self._waiting]

    def _join(self, conversion: Conversion, *, first: bool) -> _Run:
        self._failed.pop(conversion.info.id, None)
        for run in self._runs():
            if run.conversion.target == conversion.target and not run.dropped:
                if first and run in self._waiting:
                    self._waiting.remove(run)
                    self._waiting.insert(0, run)
                return run
        run = _Run(conversion)
        self._waiting.insert(0 if first else len(self._waiting), run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="imports", daemon=True)
            self._thread.start()
        return run

    def _drop(self, run: _Run) -> None:
        """The thread sees to the rest when the child has ended."""
        if not run.over:
            run.dropped = True
            if run.process is not None:
                run.process.kill()
            elif run in self._waiting:
                self._waiting.remove(run)
                self._conclude(run, _stopped(run))

    def _is_over(self, run: _Run) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: run.over, timeout=PATIENCE)
            return run.over

    def _progress(self, run: _Run) -> tuple[str, float | None]:
        with self._changed:
            if run is not self._running and self._running is not None:
                return f"waiting until {self._running.conversion.info.title} is converted", None
            return run.what or "starting the converter", run.fraction

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    return
                run = self._running = self._waiting.pop(0)
                run.what, run.fraction = "starting the converter", 0.0
            self._tell()
            began = time.monotonic()
            try:
                error = self._convert(run)
                if error is None:
                    self._made(run.conversion, time.monotonic() - began)
            except OSError as refused:  # no room for another process
                error = StorageError(f"{run.conversion.name} could not be converted: {refused.strerror}.")
            except Exception:  # whatever it is, nobody must wait for ever
                log.exception("A conversion ended unexpectedly.")
                error = ModelError(f"{run.conversion.name} could not be converted; the log says more.")
            discard_partial(run.conversion)
            with self._changed:
                self._running = None
                self._conclude(run, _stopped(run) if run.dropped and not run.conversion.complete else error)
            self._tell()

    def _conclude(self, run: _Run, error: StudioError | None) -> None:
        run.over, run.error = True, error
        if error is not None and not run.dropped:
            log.warning("%s", error)
            info, dtype = run.conversion.info, run.conversion.dtype
            with suppress(StudioError):  # of a file that is gone there is nothing to tell
                was = run.conversion
                now = conversion_of(info, was.file, dtype, was.target.parent, was.beside)
                self._failed[info.id] = (now, ImportView(model=info.id, dtype=dtype, problem=str(error)))
        self._changed.notify_all()

    def _convert(self, run: _Run) -> StudioError | None:
        """Start the child and listen to it to its end; what went wrong, if anything did."""
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
        with self._changed:
            run.process = process
            if run.dropped:
                process.kill()
        with process:  # its standard input stays open until it ends: it ends when that does
            try:
                process.stdin.write(json.dumps(_task(run.conversion, self._folders)) + "\n")
                process.stdin.flush()
            except OSError:
                pass  # it is dead already; its exit status says the rest
            last = self._listen(run, process)
        return _outcome(run.conversion, last, process.returncode)

    def _listen(self, run: _Run, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Its last word; {} if that said neither that all is done nor why it is not."""
        assert process.stdout is not None
        for line in process.stdout:
            try:
                words = json.loads(line)
            except ValueError:
                continue  # half a line of a killed child
            if "what" not in words:
                return dict(words)
            with self._changed:
                news = (run.what, run.fraction) != (words["what"], words["fraction"])
                run.what, run.fraction = words["what"], words["fraction"]
            if news:
                self._tell()
        return {}

    def _tell(self) -> None:
        try:
            self.told()
        except Exception:  # it may look at a disk that refuses; what is under way goes on
            log.exception("What is imported could not be told.")


def _task(conversion: Conversion, folders: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "info": conversion.info.model_dump(mode="json"),
        "file": str(conversion.file),
        "dtype": conversion.dtype,
        "target": str(conversion.target),
        "beside": [str(file) for file in conversion.beside],
        "folders": [str(folder.absolute()) for folder in folders],
    }


def _outcome(conversion: Conversion, last: dict[str, Any], status: int) -> StudioError | None:
    if last.get("done") and conversion.complete:
        return None
    if "problem" in last:
        return (StorageError if last.get("storage") else ModelError)(last["problem"])
    name = conversion.name
    if status == -9:
        why = "was killed, as the system does when memory runs out"
    elif status == -7:
        why = "could not read on: the file was cut short meanwhile"
    else:
        why = f"stopped (exit code {status})"
    return ModelError(f"The converter of {name} {why}. Nothing half made was left; try again.")


def _stopped(run: _Run) -> StudioError:
    return ModelError(f"The conversion of {run.conversion.name} was stopped.")


def _view(run: _Run) -> ImportView:
    what = run.what or "waiting"
    return ImportView(model=run.conversion.info.id, dtype=run.conversion.dtype, what=what, fraction=run.fraction)
