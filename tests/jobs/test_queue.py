"""The queue and the event log by themselves: claimed exactly once, kept in order, followed live, refused and recovered."""

import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest

from studio.core.errors import StorageError
from studio.core.events import Cancelled, Done, Event, Interrupted, Loading, Step
from studio.core.jobs import QueueView
from studio.core.request import GenerationRequest
from studio.jobs.database import Database
from studio.jobs.log import EventLog
from studio.jobs.queue import JobQueue
from studio.jobs.schema import UPGRADES, VERSION

STEP = Step(index=0, total=2, timestep=1.0, seconds=0.1, elapsed=0.1)


class Opened:
    """A database, its log and its queue; closed by the fixture."""

    def __init__(self, path: Path):
        self.database = Database(path)
        self.log = EventLog(self.database)
        self.queue = JobQueue(self.database, self.log)
        self.database.on_open(self.queue.recover)

    def close(self) -> None:
        self.log.close()
        self.database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "studio.db"


def put(opened: Opened, count: int = 1) -> list[str]:
    return [opened.queue.put(GenerationRequest(prompt=str(k), seed=k)) for k in range(count)]


def test_stopped_runs_are_listed_until_they_are_replaced_or_dismissed(path: Path) -> None:
    opened = Opened(path)
    step = STEP.model_copy(update={"frames": ("x0",)})
    unseen, stopped, replaced, dismissed = put(opened, 4)
    for job in (unseen, stopped, replaced, dismissed):
        opened.queue.claim()
        opened.log.append(job, STEP if job == unseen else step)
        if job == replaced:
            opened.queue.put(GenerationRequest(prompt="live"), replaces=replaced)
        opened.log.append(job, Cancelled())
    opened.queue.dismiss(dismissed)
    [run] = opened.queue.stopped(12)
    assert (run.job, run.step, run.total, run.request.seed) == (stopped, 0, 2, 1)
    opened.queue.claim()
    opened.close()


def test_each_job_is_claimed_exactly_once_and_in_order(path: Path) -> None:
    """Eight threads, each with a connection of its own, as eight processes would have."""
    opened = [Opened(path) for _ in range(8)]
    jobs = put(opened[0], 50)
    claimed: list[list[str]] = [[] for _ in opened]

    def work(number: int) -> None:
        while (job := opened[number].queue.claim()) is not None:
            claimed[number].append(job.id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(opened))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(job for mine in claimed for job in mine) == Counter(jobs)
    assert all(mine == sorted(mine, key=jobs.index) for mine in claimed)
    for one in opened:
        one.close()


def test_events_are_numbered_kept_and_replayed(path: Path) -> None:
    opened = Opened(path)
    (job,) = put(opened)
    opened.queue.claim()
    emitted: list[Event] = [Loading(model="m"), STEP, STEP, Done(seconds=1.0)]
    for event in emitted:
        opened.log.append(job, event)
    opened.log.append(job, STEP)  # nothing follows the end
    assert list(opened.log.follow(job, 1)) == emitted
    assert opened.queue.get(job).state == "done"
    opened.close()
    again = Opened(path)
    assert list(again.log.follow(job, 1)) == emitted
    assert list(again.log.follow(job, 4)) == emitted[3:]
    again.close()


def test_followers_are_let_go_when_the_studio_closes(path: Path) -> None:
    opened = Opened(path)
    (job,) = put(opened)
    seen: list[Event] = []
    follower = threading.Thread(target=lambda: seen.extend(opened.log.follow(job)))
    follower.start()
    opened.close()
    follower.join(timeout=300)
    assert not follower.is_alive() and [event.kind for event in seen] == ["queued"]


def test_a_follower_that_waits_is_ended_from_another_thread_and_no_longer_counts(path: Path) -> None:
    opened = Opened(path)
    first, second = put(opened, 2)
    following, seen = opened.log.follow(first), list[Event]()
    follower = threading.Thread(target=lambda: seen.extend(following))
    follower.start()
    still = opened.log.follow(first)
    assert next(still).kind == "queued"
    opened.log.follow(second).close()
    assert opened.log.followed() == [first]
    following.close()
    follower.join(timeout=20)
    assert not follower.is_alive() and [event.kind for event in seen] in (["queued"], [])
    assert opened.log.followed() == [first], "another one follows it"
    still.close()
    still.close()
    assert opened.log.followed() == [] and list(still) == []
    opened.close()


def test_a_dead_studios_running_job_is_interrupted_and_the_waiting_ones_stay(path: Path) -> None:
    dead = Opened(path)
    running, waiting = put(dead, 2)
    dead.queue.claim()
    dead.log.append(running, STEP)
    dead.log.flush()
    dead.database.close()  # no farewell: as if killed
    opened = Opened(path)
    assert [view.state for view in reversed(opened.queue.list())] == ["interrupted", "queued"]
    events = list(opened.log.follow(running))
    assert [event.kind for event in events] == ["queued", "step", "interrupted"]
    assert isinstance(events[-1], Interrupted) and events[-1].message == opened.queue.get(running).message
    claimed = opened.queue.claim()
    assert claimed is not None and claimed.id == waiting
    opened.close()
    dead.log.close()


def test_an_end_that_could_not_be_written_is_seen_and_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Opened(path)
    (job,) = put(opened)
    opened.queue.claim()
    with monkeypatch.context() as full:
        full.setattr("studio.jobs.log._store", _disk_is_full)
        opened.log.append(job, Done(seconds=1.0))
        assert [event.kind for event in opened.log.follow(job)] == ["queued", "done"]
        assert opened.queue.get(job).state == "done"
    opened.log.flush()
    with opened.database.read("look") as db:
        assert db.execute("SELECT state FROM jobs").fetchone()["state"] == "done"
    opened.close()


def _disk_is_full(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_damaged_file_is_moved_aside_with_a_sentence(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"this was a database" * 500)
    opened = Opened(path)
    (job,) = put(opened)
    assert opened.queue.get(job).state == "queued"
    assert opened.database.damaged is not None and opened.database.damaged.read_bytes().startswith(b"this was")
    assert "moved aside" in caplog.text and str(path.parent) not in caplog.text
    opened.close()


def test_damage_within_the_file_is_found_too(path: Path) -> None:
    opened = Opened(path)
    put(opened, 60)
    opened.close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    again = Opened(path)
    assert again.queue.list() == [] and again.database.damaged is not None
    again.close()


def test_a_file_deleted_under_the_studio_is_begun_anew(path: Path) -> None:
    opened = Opened(path)
    put(opened, 2)
    for file in path.parent.glob("studio.db*"):
        file.unlink()
    (job,) = put(opened)
    assert [view.id for view in opened.queue.list()] == [job]
    assert path.exists()
    opened.close()


def test_a_newer_file_is_refused_and_an_empty_one_upgraded(path: Path) -> None:
    assert len(UPGRADES) == VERSION
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    opened = Opened(path)
    with pytest.raises(StorageError, match="newer Unnoise"):
        put(opened)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 0")
    db.close()
    assert put(opened)
    opened.close()


def test_a_request_of_another_version_holds_nothing_up(path: Path) -> None:
    opened = Opened(path)
    old, new = put(opened, 2)
    with opened.database.write("age it") as db:
        db.execute("UPDATE jobs SET request = ? WHERE id = ?", ('{"no_longer_a_field": 1}', old))
    claimed = opened.queue.claim()
    assert claimed is not None and claimed.id == new
    assert list(opened.log.follow(old))[-1].kind == "failed"
    assert [view.id for view in opened.queue.list()] == [new]
    opened.close()


def test_whoever_watches_the_queue_hears_of_each_change(path: Path) -> None:
    opened = Opened(path)
    number, view = opened.queue.watch(0, 0)
    assert (view.waiting, view.running, view.newest) == (0, (), None)
    heard: list[QueueView] = []
    seen = [number]

    def listen() -> None:
        while not (heard and heard[-1].newest and not heard[-1].running and not heard[-1].waiting):
            seen[0], now = opened.queue.watch(seen[0], 10)
            heard.append(now)

    listener = threading.Thread(target=listen)
    listener.start()
    [job] = put(opened)
    assert opened.queue.claim() is not None
    opened.log.append(job, Done(seconds=1.0))
    opened.queue.report_places()
    listener.join(timeout=300)
    assert not listener.is_alive()
    assert heard[-1] == QueueView(newest=job, at=heard[-1].at)
    opened.close()


def test_the_queue_lists_what_runs_and_what_waits_in_order(path: Path) -> None:
    opened = Opened(path)
    first, second, third = put(opened, 3)
    assert opened.queue.claim() is not None
    step = Step(index=3, total=20, timestep=1.0, seconds=0.1, elapsed=0.4, remaining=1.6)
    opened.log.append(first, step)
    running, *waiting = opened.queue.view().jobs
    assert (running.id, running.state, running.latest) == (first, "running", step)
    assert [(job.id, job.state, job.latest) for job in waiting] == [(second, "queued", None), (third, "queued", None)]
    assert opened.queue.drop_all() == 2 and opened.queue.drop_all() == 0
    assert [job.id for job in opened.queue.view().jobs] == [first]
    assert [opened.queue.get(job).state for job in (first, second, third)] == ["running", "cancelled", "cancelled"]
    assert list(opened.log.follow(third))[-1].kind == "cancelled"
    opened.close()


def test_a_queue_that_does_not_change_is_told_when_the_time_is_over(path: Path) -> None:
    opened = Opened(path)
    number, _ = opened.queue.watch(0, 0)
    assert opened.queue.watch(number, 0.01)[0] == number
    opened.close()
