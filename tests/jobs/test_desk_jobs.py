"""The way of one request through queue, worker process and archive, with a fake engine in a real process."""

import os
import signal
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from studio.core.errors import InvalidRequest, NotFound, UnknownName
from studio.core.events import Done, Event, Interrupted, Queued, Step
from studio.core.events import Image as ImageEvent
from studio.core.request import GenerationRequest
from studio.desk import Desk


def wish(prompt: str = "a picture", **settings: object) -> GenerationRequest:
    return GenerationRequest(**({"prompt": prompt, "steps": 3, "seed": 7} | settings))


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_a_job_runs_from_submit_to_its_archived_image(desk: Desk) -> None:
    job = desk.submit(wish(count=2))
    events = list(desk.follow(job))
    assert kinds(events) == ["queued", "loading", "step", "step", "step", "image", "image", "done"]
    view = desk.job(job)
    assert view.state == "done" and view.started and view.ended
    assert view.request.model == "starter/fake" and view.request.width == 16
    assert [desk.image(i).seed for i in view.images] == [7, 8]
    assert [shown.id for shown in desk.images()] == list(reversed(view.images))
    with Image.open(desk.image_file(view.images[0])) as image:
        assert image.size == (16, 16) and {"unnoise", "parameters"} <= image.info.keys()
    assert desk.thumbnail(view.images[0])[:2] == b"\xff\xd8"


def test_frames_of_every_step_are_there_afterwards(desk: Desk) -> None:
    job = desk.submit(wish())
    list(desk.follow(job))
    assert all(desk.frame(job, 0, step, "x0") for step in range(3))
    assert desk.frame(job, 0, 3, "x0") is None
    assert desk.frame(job, 0, 0, "../x0") is None and desk.frame("../../etc", 0, 0, "x0") is None


def test_following_can_begin_anywhere_and_twice(desk: Desk, hold: Path) -> None:
    job = desk.submit(wish())
    first = desk.follow(job)
    seen = [next(first) for _ in range(3)]
    assert isinstance(seen[-1], Step)
    second: list[Event] = []
    other = threading.Thread(target=lambda: second.extend(desk.follow(job, 2)))
    other.start()
    hold.unlink()
    seen += list(first)
    other.join()
    assert second == seen[2:]
    assert list(desk.follow(job)) == seen
    assert list(desk.follow(job, 5)) == seen[5:]


def test_cancel_stops_a_running_job_and_leaves_the_next_alone(desk: Desk, hold: Path) -> None:
    running, waiting, last = desk.submit(wish()), desk.submit(wish()), desk.submit(wish())
    next(event for event in desk.follow(running) if isinstance(event, Step))
    assert desk.job(waiting).ahead == 1 and desk.job(last).ahead == 2
    assert desk.cancel(waiting) and desk.cancel(running)
    assert kinds(list(desk.follow(running)))[-1] == "cancelled"
    assert kinds(list(desk.follow(waiting))) == ["queued", "cancelled"]
    hold.unlink()
    assert isinstance(list(desk.follow(last))[-1], Done)
    assert not desk.cancel(last) and not desk.cancel(running)


def test_a_replacement_takes_the_waiting_ones_place(desk: Desk, hold: Path) -> None:
    desk.submit(wish())
    first, other = desk.submit(wish("first")), desk.submit(wish("other"))
    newer = desk.submit(wish("newer"), replaces=first)
    assert desk.job(first).state == "cancelled" and desk.job(newer).ahead <= desk.job(other).ahead - 1
    hold.unlink()
    assert isinstance(list(desk.follow(other))[-1], Done)
    assert desk.job(newer).started < desk.job(other).started  # type: ignore[operator]


def test_a_replacement_cancels_the_running_one(desk: Desk, hold: Path) -> None:
    old = desk.submit(wish())
    next(event for event in desk.follow(old) if isinstance(event, Step))
    new = desk.submit(wish("newer"), replaces=old)
    assert kinds(list(desk.follow(old)))[-1] == "cancelled"
    hold.unlink()
    assert isinstance(list(desk.follow(new))[-1], Done)
    assert desk.submit(wish(), replaces="0123456789abcdef")  # what is gone needs no replacing


def test_two_hundred_jobs_all_run_in_order_and_cancel_all_stops_the_rest(desk: Desk) -> None:
    jobs = [desk.submit(wish(steps=1, previews=False)) for _ in range(200)]
    for job in jobs[:60]:
        assert isinstance(list(desk.follow(job))[-1], Done)
    for job in jobs[60:]:
        desk.cancel(job)
    ends = {job: list(desk.follow(job))[-1].kind for job in jobs}
    assert set(ends.values()) <= {"done", "cancelled"}
    started = [view.started for view in reversed(desk.jobs(limit=300)) if view.started]
    assert started == sorted(started) and len(desk.jobs(limit=300)) == 200
    assert desk.jobs(states=("queued", "running")) == []


def test_killing_the_worker_interrupts_its_job_only(desk: Desk) -> None:
    for _ in range(4):
        doomed, next_one = desk.submit(wish("die young")), desk.submit(wish())
        end = list(desk.follow(doomed))[-1]
        assert isinstance(end, Interrupted) and "killed" in end.message
        assert desk.job(doomed).state == "interrupted" and desk.job(doomed).message == end.message
        assert isinstance(list(desk.follow(next_one))[-1], Done)
    assert len(desk.jobs(states=("interrupted",))) == 4
    assert list(desk.settings.outputs.rglob("*.tmp")) == []


def test_a_worker_whose_mapped_file_is_cut_short_says_so(desk: Desk) -> None:
    doomed, next_one = desk.submit(wish("cut short")), desk.submit(wish())
    end = list(desk.follow(doomed))[-1]
    assert isinstance(end, Interrupted) and "cut short" in end.message and "SIGBUS" in end.message
    assert isinstance(list(desk.follow(next_one))[-1], Done)


def test_an_interrupted_job_can_be_retried(desk: Desk, hold: Path) -> None:
    job = desk.submit(wish(seed=-1))
    next(event for event in desk.follow(job) if isinstance(event, Step))
    assert desk.worker_pid is not None
    os.kill(desk.worker_pid, signal.SIGKILL)
    assert isinstance(list(desk.follow(job))[-1], Interrupted)
    hold.unlink()
    again = desk.retry(job)
    assert isinstance(list(desk.follow(again))[-1], Done)
    assert desk.job(again).request == desk.job(job).request


def test_a_restart_keeps_waiting_jobs_and_interrupts_the_running_one(
    make_desk: Callable[..., Desk], hold: Path
) -> None:
    desk = make_desk()
    running, waiting = desk.submit(wish()), desk.submit(wish())
    before = list(islice(desk.follow(running), 3))
    desk.close()
    hold.unlink()
    reopened = make_desk()
    replayed = list(reopened.follow(running))
    assert replayed[:3] == before and isinstance(replayed[-1], Interrupted)
    assert isinstance(list(reopened.follow(waiting))[-1], Done)


def test_who_waits_is_told_when_the_queue_moves(desk: Desk, hold: Path) -> None:
    running, second, third = (desk.submit(wish(name)) for name in ("a", "b", "c"))
    next(event for event in desk.follow(running) if isinstance(event, Step))
    waiting = desk.follow(third)
    assert next(waiting) == Queued(ahead=2)
    hold.unlink()
    told = [event.ahead for event in waiting if isinstance(event, Queued)]
    assert told == [1, 0] and desk.job(second).state == "done"
    assert sum(isinstance(event, Queued) for event in desk.follow(third)) == 3


def test_a_failure_names_its_field(desk: Desk) -> None:
    job = desk.submit(wish("fail at once"))
    list(desk.follow(job))
    view = desk.job(job)
    assert (view.state, view.message, view.field) == ("failed", "It was asked to fail.", "prompt")
    assert isinstance(list(desk.follow(desk.submit(wish())))[-1], Done)


def test_what_is_not_there_is_said_plainly(desk: Desk) -> None:
    for ask in (desk.job, desk.follow, desk.cancel, desk.retry):
        with pytest.raises(NotFound, match="There is no job 'nonsense'"):
            ask("nonsense")
    for ask_image in (desk.image, desk.image_file, desk.thumbnail):
        with pytest.raises(NotFound, match="There is no image"):
            ask_image("../../etc/passwd")
    with pytest.raises(UnknownName) as caught:
        desk.submit(wish(model="no such model"))
    assert caught.value.field == "model" and "starter/fake" in str(caught.value)
    with pytest.raises(InvalidRequest):
        desk.submit(wish(sampler="no such sampler"))
    assert desk.jobs() == []


def test_two_models_and_their_options(desk: Desk) -> None:
    assert [model.id for model in desk.models()] == ["starter/fake", "other/large"]
    options = desk.options("default")
    assert options.model.id == "starter/fake" and "dpmpp_2m" in {choice.name for choice in options.samplers}


def test_a_deleted_image_is_no_longer_listed(desk: Desk) -> None:
    job = desk.submit(wish(count=2))
    image = next(event for event in desk.follow(job) if isinstance(event, ImageEvent))
    list(desk.follow(job))
    desk.image_file(image.id).unlink()
    assert [view.index for view in desk.images()] == [1]
    assert desk.image(image.id).seed == 7
    assert desk.job(job).images[0] == image.id
