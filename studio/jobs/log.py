"""The event log: every event of every job, numbered 1, 2, 3, ... within its job, kept on disk and followed live.

Followers wait on a condition and never poll. Steps are written in one transaction per `interval`, everything else at once;
followers see both as they happen. What cannot be written is kept in memory and written later, so a run goes on.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from studio.core.errors import StorageError
from studio.core.events import Cancelled, Done, Event, Failed, Interrupted, Step, from_json, to_json
from studio.jobs.database import Database

log = logging.getLogger(__name__)

INTERVAL = 0.1
RETRY_SECONDS = 1.0


@dataclass
class _Tail:
    """A job that has not ended: its events so far, and how many follow it."""

    events: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False
    followers: int = 0


@dataclass(frozen=True)
class _Row:
    job: str
    number: int
    event: Event
    at: float


class EventLog:
    def __init__(self, database: Database, *, interval: float = INTERVAL):
        self._database = database
        self._interval = interval
        self._tails: dict[str, _Tail] = {}
        self._unwritten: list[_Row] = []
        self._lock = threading.Lock()  # guards the two above; never held while the disk works
        self._writing = threading.Lock()  # one writer at a time, so that order is kept
        self._wake = threading.Condition(self._lock)
        self._closed = False
        self._complaint: str | None = None  # the error of the last failed write
        self._flusher = threading.Thread(target=self._flush_steps, name="event-log", daemon=True)
        self._flusher.start()

    def adopt(self, job: str, events: list[Event]) -> None:
        """Start the log of a job whose first `events` are already on disk."""
        with self._lock:
            self._tails.setdefault(job, _Tail(events=list(events)))

    def forget(self, job: str) -> None:
        """Drop a job that could not be queued."""
        with self._lock:
            self._tails.pop(job, None)

    def adopted(self, job: str) -> bool:
        with self._lock:
            return job in self._tails

    def append(self, job: str, event: Event, *, stored: bool = False) -> None:
        """Number the event, pass it to the followers and store it. `stored`: it is on disk already.

        Events of one job come from one thread at a time: the queue's before it is claimed, its host's afterwards.
        """
        with self._lock:
            tail = self._tails.get(job)
            if tail is None:  # ended already: nothing follows a terminal event
                return
            number = len(tail.events) + 1
            if not stored:
                self._unwritten.append(_Row(job, number, event, time.time()))
                self._wake.notify_all()
        if not stored and not isinstance(event, Step):
            self._try_flush()
        with tail.changed:
            tail.events.append(event)
            tail.changed.notify_all()
        if event.terminal:
            with self._lock:
                if all(row.job != job for row in self._unwritten):
                    self._tails.pop(job, None)

    def follow(self, job: str, after: int = 0) -> "Following":
        """The job's events from number `after` + 1 on, past ones first; ends after a terminal one, or when closed."""
        with self._lock:
            tail = self._tails.get(job)
        if tail is None:  # it has ended
            return Following(_Tail(events=self.stored(job, after), closed=True), 0)
        return Following(tail, max(after, 0))

    def followed(self) -> list[str]:
        """Jobs that have not ended and that somebody follows."""
        with self._lock:
            return [job for job, tail in self._tails.items() if tail.followers]

    def stored(self, job: str, after: int = 0) -> list[Event]:
        with self._database.read("read the job's events") as db:
            rows = db.execute("SELECT event FROM events WHERE job = ? AND n > ? ORDER BY n", (job, after)).fetchall()
        return [from_json(row["event"]) for row in rows]

    def latest(self, job: str) -> Event | None:
        """The last event of a job that has not ended, or whose end could not be written yet."""
        with self._lock:
            tail = self._tails.get(job)
        if tail is None:
            return None
        with tail.changed:
            return tail.events[-1] if tail.events else None

    def ending(self, job: str) -> Event | None:
        """The terminal event of a job whose end could not be written yet."""
        event = self.latest(job)
        return event if event is not None and event.terminal else None

    def flush(self) -> None:
        """Write what is not on disk; raises StorageError if the disk refuses (nothing is lost by that)."""
        with self._writing:
            with self._lock:
                rows = list(self._unwritten)
            if not rows:
                return
            with self._database.write("record what happened to the job") as db:
                for row in rows:
                    _store(db, row)
            with self._lock:
                del self._unwritten[: len(rows)]
                for row in rows:
                    if row.event.terminal and (tail := self._tails.get(row.job)) is not None and _over(tail):
                        del self._tails[row.job]

    def close(self) -> None:
        """End every `Following` and write what is not on disk."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
            tails = list(self._tails.values())
        for tail in tails:
            with tail.changed:
                tail.closed = True
                tail.changed.notify_all()
        self._flusher.join(timeout=5)
        self._try_flush()

    def _try_flush(self) -> bool:
        try:
            self.flush()
        except StorageError as error:
            if str(error) != self._complaint:  # it is tried again every second
                log.warning("%s", error)
            self._complaint = str(error)
            return False
        self._complaint = None
        return True

    def _flush_steps(self) -> None:
        pause = self._interval
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._unwritten or self._closed)
                if self._closed:
                    return
                self._wake.wait_for(lambda: self._closed, timeout=pause)
            pause = self._interval if self._try_flush() else RETRY_SECONDS


class Following(Iterator[Event]):
    """The events of a job as they come. `close`, from any thread, ends it, also while another thread waits for the next."""

    def __init__(self, tail: _Tail, seen: int):
        self._tail, self._seen, self._ended = tail, seen, False
        with tail.changed:
            tail.followers += 1

    def __next__(self) -> Event:
        tail = self._tail
        with tail.changed:
            while not self._ended:
                if len(tail.events) > self._seen:
                    self._seen += 1
                    return tail.events[self._seen - 1]
                if tail.closed or _over(tail):
                    self._end()
                else:
                    tail.changed.wait()
        raise StopIteration

    def close(self) -> None:
        with self._tail.changed:
            self._end()
            self._tail.changed.notify_all()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._tail.followers -= 1


def _over(tail: _Tail) -> bool:
    return bool(tail.events) and tail.events[-1].terminal


def store_event(db: sqlite3.Connection, job: str, number: int, event: Event, at: float) -> None:
    """The event's row, and what it means for the job's own row."""
    _store(db, _Row(job, number, event, at))


def _store(db: sqlite3.Connection, row: _Row) -> None:
    db.execute(
        "INSERT OR REPLACE INTO events (job, n, event) VALUES (?, ?, ?)", (row.job, row.number, to_json(row.event))
    )
    event = row.event
    if event.terminal:
        state, message, at_field = outcome(event)
        db.execute(
            "UPDATE jobs SET state = ?, ended = ?, message = ?, field = ? WHERE id = ?",
            (state, row.at, message, at_field, row.job),
        )


def outcome(event: Event) -> tuple[str, str | None, str | None]:
    """(state, message, field) of a job that ended so."""
    match event:
        case Done():
            return "done", None, None
        case Failed():
            return "failed", event.message, event.field
        case Cancelled():
            return "cancelled", None, None
        case Interrupted():
            return "interrupted", event.message, None
    raise ValueError(f"{event.kind} ends no job")
