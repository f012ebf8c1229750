"""The worker host: one supervised worker process, fed one job after another.

Depends on processes, jobs and their events, not on models or pixels, and never imports the worker's own code. If a worker
dies, its job becomes `interrupted`, a new worker starts, and the queue goes on.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from studio.core.errors import StorageError, StudioError
from studio.core.events import Cancelled, Event, Failed, Interrupted, Loading, Waiting
from studio.core.events import from_json as event_from_json
from studio.core.request import GenerationRequest
from studio.core.settings import PROJECT
from studio.jobs.channel import Channel, Message
from studio.jobs.queue import STOPPED, Claimed
from studio.jobs.saving import UNSAVED

log = logging.getLogger(__name__)

LOG_BYTES = 4 * 2**20
STARTS_BEFORE_GIVING_UP = 3


class Source(Protocol):
    """Where jobs come from and their events go."""

    def claim(self) -> Claimed | None: ...

    def record(self, job: str, event: Event) -> None: ...

    def heard(self, message: Message) -> None:
        """Called with each message of a worker that is not about a job, and with `ended` when the worker has ended."""


@dataclass(frozen=True)
class Patience:
    """How long the host waits, in seconds, before it ends a worker."""

    hang: float = 1800.0  # between two events of a running job; loading has no limit
    cancel: float = 30.0  # from a cancel to the job's end
    close: float = 5.0  # from the studio's close to the worker's end
    restart: float = 1.0  # before a worker that failed to start is started again; doubles up to 30
    claim: float = 1.0  # before a queue that could not be read is read again


@dataclass
class _Worker:
    """The current process. Every field but the first two is guarded by the host's condition."""

    process: subprocess.Popen[bytes]
    channel: Channel
    ready: bool = False
    served: bool = False  # it was given a job
    unable: str | None = None  # the worker's own sentence on why it cannot work
    over: bool = False  # its side of the channel has ended
    given_up: bool = False  # the host ended it
    job: str | None = None
    loading: bool = True
    request: GenerationRequest | None = None  # its job's
    unsaved: str | None = None  # what to say of a picture of its job that waits for room on the disk
    heard: float = field(default_factory=time.monotonic)
    cancelled: float | None = None  # when the running job was cancelled


class WorkerHost:
    """`entry` is "module:function", imported in the worker only; `settings_message` is the first message it gets."""

    def __init__(
        self,
        entry: str,
        source: Source,
        *,
        settings_message: Message | None = None,
        log_file: Path | None = None,
        patience: Patience | None = None,
    ):
        self._entry, self._source, self._settings_message = entry, source, settings_message or {}
        self._log_file = log_file
        self._patience = patience or Patience()
        self._changed = threading.Condition()
        self._worker: _Worker | None = None
        self._cancel_wanted: set[str] = set()
        self._work = True  # there may be a job to claim
        self._may_preload = True  # only the first worker loads a model ahead: should that kill it, once is enough
        self._closing = False
        # The worker dies with the thread that started it (see child.die_with), so this one lives as long as the host.
        self._thread = threading.Thread(target=self._supervise, name="worker-host", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """A job was queued."""
        with self._changed:
            self._work = True
            self._changed.notify_all()

    def cancel(self, job: str) -> None:
        """Stop the job, which runs or is about to."""
        with self._changed:
            worker = self._worker
            if worker is None or worker.job != job:
                self._cancel_wanted.add(job)
                return
            if worker.cancelled is None:
                worker.cancelled = time.monotonic()
                self._changed.notify_all()
        worker.channel.send({"do": "cancel", "job": job})

    def send(self, message: Message) -> None:
        """Send a command that is carried out between jobs. Raises StudioError while there is no worker."""
        with self._changed:
            worker = self._worker
        if worker is None or worker.over:
            raise StudioError("The worker is starting; try again in a moment.")
        worker.channel.send(message)

    def update_settings(self, settings_message: Message) -> None:
        """The first message of workers that start from now on."""
        self._settings_message = settings_message

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        with self._changed:
            return self._worker.process.pid if self._worker else None

    def close(self) -> None:
        """End the worker; a running job is interrupted."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _supervise(self) -> None:
        failures = 0
        while not self._closing:
            try:
                worker = self._launch()
            except OSError as error:  # the system has no room for another process just now
                log.warning("The worker cannot be started: %s. Trying again.", error.strerror)
                self._pause(30.0)
                continue
            reader = threading.Thread(target=self._listen, args=(worker,), name="worker-listener", daemon=True)
            reader.start()
            self._serve(worker)
            self._end(worker)
            reader.join(timeout=self._patience.close)
            self._conclude(worker)
            self._may_preload = False
            failures = 0 if worker.served else failures + 1
            hopeless = worker.unable is not None or failures >= STARTS_BEFORE_GIVING_UP
            if hopeless and not worker.ready and not self._closing:
                self._give_up(worker)
            if failures:
                self._pause(min(self._patience.restart * 2 ** (failures - 1), 30.0))

    def _launch(self) -> _Worker:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
        }
        errors = _open_log(self._log_file)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.jobs.child", self._entry, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(errors)
        assert process.stdin is not None and process.stdout is not None
        worker = _Worker(process, Channel(process.stdout, process.stdin))
        with self._changed:
            self._worker = worker
        worker.channel.send({"do": "settings", **self._settings_message})
        return worker

    def _serve(self, worker: _Worker) -> None:
        """Feed the worker until it dies, has to be ended, or the studio closes."""
        complaint = ""
        while True:
            with self._changed:
                while not (worker.ready and worker.job is None and self._work):
                    if worker.over or self._closing or self._out_of_patience(worker):
                        return
                    self._changed.wait(timeout=self._time_left(worker))
                if worker.over or self._closing:
                    return
                self._work = False
            try:
                claimed, complaint = self._source.claim(), ""
            except StorageError as error:
                if str(error) != complaint:  # it is tried again every second
                    complaint = str(error)
                    log.warning("%s", error)
                self._pause(self._patience.claim)
                self.wake()
                continue
            if claimed is not None:
                self._assign(worker, claimed)
            elif self._may_preload:
                self._may_preload = False
                worker.channel.send({"do": "preload"})

    def _assign(self, worker: _Worker, claimed: Claimed) -> None:
        with self._changed:
            worker.job, worker.served, worker.cancelled = claimed.id, True, None
            worker.request, worker.unsaved = claimed.request, None
            worker.loading, worker.heard = True, time.monotonic()
        worker.channel.send({"do": "run", "job": claimed.id, "request": claimed.request.model_dump(mode="json")})
        with self._changed:
            wanted = claimed.id in self._cancel_wanted
            self._cancel_wanted.discard(claimed.id)
        if wanted:
            self.cancel(claimed.id)

    def _listen(self, worker: _Worker) -> None:
        try:
            for message in worker.channel.receive():
                self._heard(worker, message)
        except Exception:  # a message that cannot be read must not leave a job waiting for ever
            log.exception("The worker said something that cannot be understood; starting a new one.")
        finally:
            with self._changed:
                worker.over = True
                self._changed.notify_all()

    def _heard(self, worker: _Worker, message: Message) -> None:
        match message.get("say"):
            case "event":
                self._heard_event(worker, message["job"], event_from_json(message["event"]))
            case "ready":
                with self._changed:
                    worker.ready = True
                    self._changed.notify_all()
            case "unable":
                worker.unable = message["problem"]
            case _:
                self._source.heard(message)

    def _heard_event(self, worker: _Worker, job: str, event: Event) -> None:
        if job != worker.job:
            return
        self._source.record(job, event)  # first, so that the job's end is recorded before the job counts as over
        with self._changed:
            was_loading = worker.loading
            worker.heard, worker.loading = time.monotonic(), isinstance(event, Loading | Waiting)
            waits = worker.request if isinstance(event, Waiting) else None
            worker.unsaved = UNSAVED.format(waits.prompt[:60], waits.seed) if waits else None
            if event.terminal:
                worker.job, worker.cancelled, self._work = None, None, True
            if event.terminal or worker.loading != was_loading:  # what the supervisor waits for has changed
                self._changed.notify_all()

    def _time_left(self, worker: _Worker) -> float | None:
        """Seconds until the worker is ended; None while nothing is being waited for."""
        if worker.job is None:
            return None
        ends = [worker.cancelled + self._patience.cancel] if worker.cancelled is not None else []
        if not worker.loading:
            ends.append(worker.heard + self._patience.hang)
        return max(min(ends) - time.monotonic(), 0.0) if ends else None

    def _out_of_patience(self, worker: _Worker) -> bool:
        return self._time_left(worker) == 0.0

    def _end(self, worker: _Worker) -> None:
        """Ask where there is time to ask, then kill."""
        if self._closing:
            worker.channel.send({"do": "exit"})
        elif not worker.over:
            worker.given_up = True
            worker.process.kill()
        try:
            worker.process.wait(timeout=self._patience.close)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()

    def _conclude(self, worker: _Worker) -> None:
        """Record the end of the job that the worker had when it ended."""
        with self._changed:
            job, cancelled, self._worker = worker.job, worker.cancelled is not None, None
            worker.job = None
            self._work = True
        worker.channel.close()
        self._source.heard({"say": "ended"})
        if job is None:
            return
        if cancelled:
            self._source.record(job, Cancelled())
        elif self._closing:
            if worker.unsaved:
                log.warning("%s", worker.unsaved)
            self._source.record(job, Interrupted(message=worker.unsaved or STOPPED))
        else:
            self._source.record(job, Interrupted(message=_how_it_ended(worker)))

    def _give_up(self, worker: _Worker) -> None:
        """No worker can be started: fail every waiting job with the reason, rather than let them wait for ever."""
        hint = f" Its log is {self._log_file.name}." if self._log_file else ""
        code = worker.process.returncode
        message = worker.unable or f"The worker cannot start (exit code {code}).{hint}"
        try:
            while (claimed := self._source.claim()) is not None:
                self._source.record(claimed.id, Failed(message=message))
        except StorageError as error:
            log.warning("%s", error)

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=seconds)


def _how_it_ended(worker: _Worker) -> str:
    code = worker.process.returncode
    if worker.given_up:
        return "The worker no longer answered and was restarted."
    return f"{_what_ended_it(code)}. A new one has started."


def _what_ended_it(code: int) -> str:
    """What an exit code means; those below zero are signals (signal(7))."""
    if code == -signal.SIGKILL:
        return "The worker was killed while this ran, as the system does when memory runs out"
    if code == -getattr(signal, "SIGBUS", 0):
        return (
            "A file that models are read from was cut short, or could not be read any more, while this ran; that ends the "
            "worker (SIGBUS)"
        )
    try:
        return f"The worker crashed while this ran ({signal.Signals(-code).name})"
    except ValueError:
        return f"The worker stopped while this ran (exit code {code})"


def _open_log(file: Path | None) -> int:
    """A descriptor for the worker's standard error: its log file, started again when it has grown large."""
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            large = file.exists() and file.stat().st_size > LOG_BYTES
            return os.open(file, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if large else os.O_APPEND), 0o644)
        except OSError:
            pass  # without a log the worker still runs
    return os.open(os.devnull, os.O_WRONLY)
