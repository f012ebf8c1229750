"""A studio with one job that is sent what happens to it: stands for the worker, which is another program."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.core.annotators import Annotation, AnnotatorView, check_annotation
from studio.core.errors import InvalidRequest, NotFound
from studio.core.events import Event, Queued
from studio.core.jobs import JobView, QueueView
from studio.core.memory import MemoryView
from studio.core.pictures import read_header
from studio.core.request import GenerationRequest
from studio.jobs.database import Database
from studio.jobs.log import EventLog
from studio.jobs.queue import JobQueue
from studio.jobs.races import Races
from studio.training.runs import Runs
from tests.following import Following


class MemoryStudio:
    """What the server asks of a Studio, over values that a test puts in."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.runs = Runs(folder / "runs", folder / "recipes", folder / "models")
        database = Database(folder / "races.db")
        queue = JobQueue(database, EventLog(database))
        self.races = Races(folder / "races", queue, list, lambda request: request, lambda: None)
        self.requests: dict[str, GenerationRequest] = {}
        self.events: dict[str, list[Event]] = {}
        self.frames: dict[tuple[str, int, int, str], bytes] = {}
        self.cancelled: list[str] = []
        self.closed = 0
        self.used, self.changes = 3, 1
        self._happened = threading.Condition()

    def submit(self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False) -> str:
        job = f"job{len(self.requests)}"
        self.requests[job] = request
        self.events[job] = [Queued()]
        return job

    def change(self, used: int) -> None:
        with self._happened:
            self.used, self.changes = used, self.changes + 1
            self._happened.notify_all()

    def happen(self, job: str, event: Event) -> None:
        with self._happened:
            self.events[job].append(event)
            self._happened.notify_all()

    def follow(self, job_id: str, after: int = 0) -> Following:
        self.job(job_id)
        return Following(lambda number: self._later(job_id, number), after)

    def watch_memory(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        return self._watch(seen, seconds), MemoryView(budget=8, used=self.used)

    def watch_queue(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        return self._watch(seen, seconds), QueueView(newest=next(reversed(self.requests), None))

    def _watch(self, seen: int, seconds: float) -> int:
        with self._happened:
            self._happened.wait_for(lambda: self.changes != seen, timeout=seconds)
            return self.changes

    def _later(self, job_id: str, number: int) -> list[Event]:
        with self._happened:
            self._happened.wait_for(lambda: len(self.events[job_id]) > number, timeout=0.5)
            return self.events[job_id][number:]

    def job(self, job_id: str) -> JobView:
        if job_id not in self.requests:
            raise NotFound("job", job_id)
        state = "cancelled" if job_id in self.cancelled else "running"
        return JobView(id=job_id, request=self.requests[job_id], state=state, created=1.0)

    def resume(self, job_id: str) -> str:
        return f"{job_id}-resumed"

    def discard(self, job_id: str) -> None:
        assert job_id in self.requests

    def cancel(self, job_id: str) -> bool:
        self.job(job_id)
        self.cancelled.append(job_id)
        return True

    def cancel_all(self, *, running: bool) -> int:
        return 3 if running else 2

    def frame(self, job_id: str, image: int, step: int, kind: str) -> bytes | None:
        return self.frames.get((job_id, image, step, kind))

    def film(self, job_id: str, image: int, kind: str) -> Iterator[tuple[int, bytes]]:
        for (job, i, step, k), data in self.frames.items():
            if (job, i, k) == (job_id, image, kind):
                yield step, data

    def image_file(self, image_id: str) -> Path:
        found = list(self.folder.glob(f"{image_id}.*"))
        if not found:
            raise NotFound("image", image_id)
        return found[0]

    def thumbnail(self, image_id: str) -> bytes:
        self.image_file(image_id)
        return b"\xff\xd8thumbnail"

    def read_settings(self, data: bytes) -> dict[str, Any]:
        if not data:
            raise InvalidRequest("This picture carries no settings.")
        return {"prompt": data.decode(), "seed": 2**64 - 1, "notes": []}

    def add_input(self, data: bytes) -> str:
        read_header(data)
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / f"{digest}.png").write_bytes(data)
        return digest

    def annotate(self, digest: str, asked: Annotation) -> str:
        if not self.input_file(digest).is_file():
            raise NotFound("input", digest)
        check_annotation(asked)
        return hashlib.sha256(f"{digest} {asked.annotator} {asked.width}".encode()).hexdigest()

    def annotators(self) -> list[AnnotatorView]:
        return [AnnotatorView(name="hed", title="Soft edges", help="", problem="put ControlNetHED.pth there")]

    def input_file(self, digest: str) -> Path:
        return self.folder / f"{digest}.png"

    def close(self) -> None:
        self.closed += 1

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the server is not meant to ask the studio for {name}")
