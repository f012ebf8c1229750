"""The queue of jobs in SQLite: each is claimed exactly once, can be cancelled while it waits, and survives a restart.

Independent of who runs the jobs. A job that ran when the studio or its worker died becomes `interrupted` and is not run
again unless a person submits it again, so that it cannot crash one worker after another.
"""

import json
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from studio.core.errors import NotFound, StorageError
from studio.core.events import Cancelled, Event, Failed, Interrupted, Loading, Queued, Step, from_json
from studio.core.jobs import TERMINAL, JobView, QueuedJob, QueueView, StoppedRun
from studio.core.request import GenerationRequest
from studio.core.sketch import PREFIX
from studio.jobs.database import Database
from studio.jobs.log import EventLog, outcome, store_event

logger = logging.getLogger(__name__)

LISTED = 100  # jobs that the queue's view names
SKETCHES = f"id GLOB '{PREFIX}*'"
APART = "id GLOB '*-*'"  # jobs of another kind than plain runs (`core.jobs.kind_of`), which no list of runs shows
_DISMISS = "UPDATE jobs SET dismissed = 1 WHERE id = ?"
# The last step is an event of the image that was being made: steps of frames that were removed are gone.
_STOPPED = f"""
    SELECT jobs.id, request, ended, events.event AS step FROM jobs JOIN events ON events.job = jobs.id
    WHERE state IN ('cancelled', 'interrupted') AND NOT dismissed AND NOT jobs.{APART} AND events.n = (
        SELECT MAX(n) FROM events WHERE job = jobs.id AND json_extract(event, '$.kind') = 'step')
    ORDER BY ended DESC LIMIT ?
"""
LISTED_CHARACTERS = 200  # of a prompt there
STOPPED = "The studio was stopped while this ran."
UNREADABLE = "This job was queued by another version of the studio and cannot be read any more. Queue it again."


@dataclass(frozen=True)
class Claimed:
    """A job that is assigned to a worker."""

    id: str
    request: GenerationRequest


def waiting(database: Database, limit: int) -> list[GenerationRequest]:
    """The requests that will be claimed next, in order; unreadable ones are left out. Usable in any process."""
    with database.read("read the queue") as db:
        rows = db.execute(
            "SELECT request FROM jobs WHERE state = 'queued' ORDER BY place, rowid LIMIT ?", (limit,)
        ).fetchall()
    requests = []
    for row in rows:
        try:
            requests.append(GenerationRequest.model_validate_json(row["request"]))
        except ValidationError:
            continue
    return requests


class JobQueue:
    def __init__(self, database: Database, log: EventLog):
        self._database = database
        self._log = log
        self._changed = threading.Condition()
        self._number = 1  # of the queue's latest change

    def put(
        self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False, job: str | None = None
    ) -> str:
        """Queue a request, under the id `job` if one is given. A waiting job named by `replaces` is dropped and leaves its
        place to this one."""
        job, now = job or f"{PREFIX if sketch else ''}{secrets.token_hex(8)}", time.time()
        try:
            with self._database.write("queue the job") as db:
                inherited = self._drop_waiting(db, replaces) if replaces else None
                if replaces:
                    db.execute(_DISMISS, (replaces,))
                place = inherited or db.execute("SELECT COALESCE(MAX(place), 0) + 1 FROM jobs").fetchone()[0]
                queued = Queued(ahead=_ahead(db, place))
                db.execute(
                    "INSERT INTO jobs (id, place, request, state, created) VALUES (?, ?, ?, 'queued', ?)",
                    (job, place, request.model_dump_json(), now),
                )
                store_event(db, job, 1, queued, now)
                self._log.adopt(job, [queued])  # before a worker can claim it and speak of it
        except BaseException:
            self._log.forget(job)
            raise
        if replaces and inherited is not None:
            self._log.append(replaces, Cancelled(), stored=True)
        self._say()
        return job

    def claim(self) -> Claimed | None:
        """Take the first waiting job; no two callers, threads or processes ever get the same one."""
        while True:
            with self._database.write("take a job from the queue") as db:
                row = db.execute(
                    "UPDATE jobs SET state = 'running', started = ? WHERE id = "
                    "(SELECT id FROM jobs WHERE state = 'queued' ORDER BY place, rowid LIMIT 1) RETURNING id, request",
                    (time.time(),),
                ).fetchone()
            if row is None:
                return None
            self._say()
            try:
                return Claimed(row["id"], GenerationRequest.model_validate_json(row["request"]))
            except ValidationError:
                self._log.append(row["id"], Failed(message=UNREADABLE))

    def drop(self, job: str) -> bool:
        """Cancel the job if it still waits; False if it does not."""
        with self._database.write("cancel the job") as db:
            dropped = self._drop_waiting(db, job) is not None
        if dropped:
            self._log.append(job, Cancelled(), stored=True)
            self._say()
        return dropped

    def drop_all(self) -> int:
        """Cancel every job that waits; how many did."""
        with self._database.write("cancel the waiting jobs") as db:
            jobs = [row["id"] for row in db.execute("SELECT id FROM jobs WHERE state = 'queued'").fetchall()]
            for job in jobs:
                self._drop_waiting(db, job)
        for job in jobs:
            self._log.append(job, Cancelled(), stored=True)
        self._say()
        return len(jobs)

    def forget_sketches(self, *, keep: int) -> list[str]:
        """Forget the sketches that have ended, except the newest `keep`; which ones."""
        with self._database.write("forget old sketches") as db:
            rows = db.execute(
                f"SELECT id FROM jobs WHERE {SKETCHES} AND ended IS NOT NULL ORDER BY created DESC LIMIT -1 OFFSET ?",
                (keep,),
            ).fetchall()
            for row in rows:
                db.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))
                db.execute("DELETE FROM events WHERE job = ?", (row["id"],))
        return [row["id"] for row in rows]

    def progressed(self) -> None:
        """A running job has reported something."""
        self._say()

    def report_places(self) -> None:
        """A job has ended: report to the followers of each waiting job how many are before it now.

        Called by the thread that ends jobs, before the next is claimed, so a running job gets no such report.
        """
        self._say()
        for job in self._log.followed():
            view = self.get(job)
            if view.state == "queued":
                self._log.append(job, Queued(ahead=view.ahead))

    def watch(self, seen: int, seconds: float) -> tuple[int, QueueView]:
        """The queue's view and number, once the number differs from `seen`, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen, timeout=seconds)
            number = self._number
        try:
            return number, self.view()
        except StorageError as error:
            logger.warning("%s", error)
            return number, QueueView()  # as lists are empty while the folder cannot be opened

    def view(self) -> QueueView:
        with self._database.read("read the queue") as db:
            waiting = db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
            rows = db.execute(
                "SELECT id, state, request, started FROM jobs WHERE state IN ('running', 'queued') "
                "ORDER BY state = 'queued', place, rowid LIMIT ?",
                (LISTED,),
            ).fetchall()
            newest = db.execute(
                f"SELECT id FROM jobs WHERE NOT {APART} ORDER BY created DESC, rowid DESC LIMIT 1"
            ).fetchone()
        return QueueView(
            waiting=waiting,
            running=tuple(row["id"] for row in rows if row["state"] == "running"),
            newest=newest["id"] if newest else None,
            jobs=tuple(_listed(row, self._log.latest(row["id"])) for row in rows),
            at=time.time(),
        )

    def get(self, job: str) -> JobView:
        with self._database.read("read the job") as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
            view = None if row is None else self._view(db, row)
        if view is None:
            raise NotFound("job", job)
        return view

    def stopped(self, limit: int) -> list[StoppedRun]:
        """Runs that were cancelled or interrupted after a step with frames, newest first; plain runs alone, none dismissed."""
        with self._database.read("read the queue") as db:
            rows = db.execute(_STOPPED, (limit,)).fetchall()
        return [run for row in rows if (run := _stopped(row)) is not None]

    def dismiss(self, job: str) -> None:
        """List the run among the stopped ones no more."""
        with self._database.write("discard the run") as db:
            db.execute(_DISMISS, (job,))
        self._say()

    def list(self, states: tuple[str, ...] = (), limit: int = 50) -> list[JobView]:
        """Newest first, plain runs alone."""
        wanted = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
        with self._database.read("read the queue") as db:
            rows = db.execute(
                f"SELECT * FROM jobs WHERE NOT {APART} {wanted} ORDER BY created DESC, rowid DESC LIMIT ?",
                (*states, limit),
            ).fetchall()
            views = [self._view(db, row) for row in rows]
        return [view for view in views if view is not None]

    def pace(self, request: GenerationRequest) -> float | None:
        """Seconds for a step of a run like this one, as the newest such run reported; None if none did."""
        like = {name: getattr(request, name) for name in ("model", "width", "height")}
        where = " AND ".join(f"json_extract(request, '$.{name}') IS ?" for name in like)
        with self._database.read("read the queue") as db:
            row = db.execute(
                f"SELECT event FROM events JOIN jobs ON jobs.id = events.job WHERE NOT jobs.{APART} AND {where} "
                "AND json_extract(event, '$.kind') = 'step' ORDER BY jobs.created DESC, n DESC LIMIT 1",
                tuple(like.values()),
            ).fetchone()
        step = from_json(row["event"]) if row else None
        return step.elapsed / (step.index + 1) / len(step.images) if isinstance(step, Step) else None

    def recover(self, settle: Callable[[str], None] = lambda job: None) -> None:
        """At the start: jobs that ran when the studio died are interrupted, waiting ones are taken up again."""
        now = time.time()
        with self._database.write("take up the queue again") as db:
            for row in db.execute("SELECT id FROM jobs WHERE state = 'running'").fetchall():
                if self._log.adopted(row["id"]):  # this studio's own job: the file was deleted and created again
                    continue
                store_event(db, row["id"], _next_number(db, row["id"]), Interrupted(message=STOPPED), now)
                settle(row["id"])
            waiting = db.execute("SELECT id FROM jobs WHERE state = 'queued'").fetchall()
            for row in waiting:
                events = db.execute("SELECT event FROM events WHERE job = ? ORDER BY n", (row["id"],)).fetchall()
                self._log.adopt(row["id"], [from_json(e["event"]) for e in events])

    def _say(self) -> None:
        with self._changed:
            self._number += 1
            self._changed.notify_all()

    def _drop_waiting(self, db: sqlite3.Connection, job: str) -> int | None:
        """The place that the dropped job had; None if it does not wait."""
        row = db.execute("SELECT place FROM jobs WHERE id = ? AND state = 'queued'", (job,)).fetchone()
        if row is None:
            return None
        store_event(db, job, _next_number(db, job), Cancelled(), time.time())
        return int(row["place"])

    def _view(self, db: sqlite3.Connection, row: sqlite3.Row) -> JobView | None:
        """None for a job whose request was written by another version and cannot be read by this one."""
        try:
            request = GenerationRequest.model_validate_json(row["request"])
        except ValidationError:
            return None
        images = db.execute("SELECT id FROM images WHERE job = ? ORDER BY position", (row["id"],)).fetchall()
        state, message, field = row["state"], row["message"], row["field"]
        if state not in TERMINAL and (ending := self._log.ending(row["id"])) is not None:
            state, message, field = outcome(ending)
        return JobView(
            id=row["id"],
            request=request,
            state=state,
            created=row["created"],
            started=row["started"],
            ended=row["ended"],
            ahead=_ahead(db, row["place"]) if state == "queued" else 0,
            message=message,
            field=field,
            images=tuple(image["id"] for image in images),
        )


def _listed(row: sqlite3.Row, latest: Event | None) -> QueuedJob:
    """A row of the jobs' table; its request may be another version's, so no more is read of it than is shown."""
    request = json.loads(row["request"])
    return QueuedJob(
        id=row["id"],
        state=row["state"],
        prompt=str(request.get("prompt", ""))[:LISTED_CHARACTERS],
        model=str(request.get("model", "")),
        count=request.get("count") or 1,
        steps=request.get("steps") or 0,
        pixels=(request.get("width") or 0) * (request.get("height") or 0),
        started=row["started"],
        latest=latest if isinstance(latest, Loading | Step) else None,
    )


def _stopped(row: sqlite3.Row) -> StoppedRun | None:
    """None where there is nothing to look at, or another version wrote the request."""
    step = from_json(row["step"])
    try:
        request = GenerationRequest.model_validate_json(row["request"])
    except ValidationError:
        return None
    if not isinstance(step, Step) or not step.frames:
        return None
    return StoppedRun(
        job=row["id"], request=request, image=step.images[0], step=step.index, total=step.total, ended=row["ended"]
    )


def _ahead(db: sqlite3.Connection, place: int) -> int:
    return int(
        db.execute(
            "SELECT COUNT(*) FROM jobs WHERE state = 'running' OR (state = 'queued' AND place < ?)", (place,)
        ).fetchone()[0]
    )


def _next_number(db: sqlite3.Connection, job: str) -> int:
    return int(db.execute("SELECT COALESCE(MAX(n), 0) + 1 FROM events WHERE job = ?", (job,)).fetchone()[0])
