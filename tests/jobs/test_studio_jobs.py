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
from studio.jobs.feed import SKETCHES_KEPT
from studio.studio import Studio


def requested(prompt: str = "a picture", **settings: object) -> GenerationRequest:
    return GenerationRequest(**({"prompt": prompt, "steps": 3, "seed": 7} | settings))


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_a_job_runs_from_submit_to_its_archived_image(studio: Studio) -> None:
    job = studio.submit(requested(count=2))
    events = list(studio.follow(job))
    assert kinds(events) == ["queued", "loading", "step", "step", "step", "image", "image", "done"]
    view = studio.job(job)
    assert view.state == "done" and view.started and view.ended
    assert view.request.model == "starter/fake" and view.request.width == 16
    assert [studio.image(i).seed for i in view.images] == [7, 8]
    assert [shown.id for shown in studio.images()] == list(reversed(view.images))
    with Image.open(studio.image_file(view.images[0])) as image:
        assert image.size == (16, 16) and {"unnoise", "parameters"} <= image.info.keys()
    assert studio.thumbnail(view.images[0])[:2] == b"\xff\xd8"


def test_frames_of_every_step_are_there_afterwards(studio: Studio) -> None:
    job = studio.submit(requested())
    list(studio.follow(job))
    assert all(studio.frame(job, 0, step, "x0") for step in range(3))
    assert studio.frame(job, 0, 3, "x0") is None
    assert studio.frame(job, 0, 0, "../x0") is None and studio.frame("../../etc", 0, 0, "x0") is None


def test_following_can_begin_anywhere_and_twice(studio: Studio, hold: Path) -> None:
    job = studio.submit(requested())
    first = studio.follow(job)
    seen = [next(first) for _ in range(3)]
    assert isinstance(seen[-1], Step)
    second: list[Event] = []
    other = threading.Thread(target=lambda: second.extend(studio.follow(job, 2)))
    other.start()
    hold.unlink()
    seen += list(first)
    other.join()
    assert second == seen[2:]
    assert list(studio.follow(job)) == seen
    assert list(studio.follow(job, 5)) == seen[5:]


def test_cancel_stops_a_running_job_and_leaves_the_next_alone(studio: Studio, hold: Path) -> None:
    running, waiting, last = studio.submit(requested()), studio.submit(requested()), studio.submit(requested())
    next(event for event in studio.follow(running) if isinstance(event, Step))
    assert studio.job(waiting).ahead == 1 and studio.job(last).ahead == 2
    assert studio.cancel(waiting) and studio.cancel(running)
    assert kinds(list(studio.follow(running)))[-1] == "cancelled"
    assert kinds(list(studio.follow(waiting))) == ["queued", "cancelled"]
    hold.unlink()
    assert isinstance(list(studio.follow(last))[-1], Done)
    assert not studio.cancel(last) and not studio.cancel(running)


def test_a_replacement_takes_the_waiting_ones_place(studio: Studio, hold: Path) -> None:
    studio.submit(requested())
    first, other = studio.submit(requested("first")), studio.submit(requested("other"))
    newer = studio.submit(requested("newer"), replaces=first)
    assert studio.job(first).state == "cancelled" and studio.job(newer).ahead <= studio.job(other).ahead - 1
    hold.unlink()
    assert isinstance(list(studio.follow(other))[-1], Done)
    assert studio.job(newer).started < studio.job(other).started  # type: ignore[operator]


def test_a_replacement_cancels_the_running_one(studio: Studio, hold: Path) -> None:
    old = studio.submit(requested())
    next(event for event in studio.follow(old) if isinstance(event, Step))
    new = studio.submit(requested("newer"), replaces=old)
    assert kinds(list(studio.follow(old)))[-1] == "cancelled"
    hold.unlink()
    assert isinstance(list(studio.follow(new))[-1], Done)
    assert studio.submit(requested(), replaces="0123456789abcdef")  # what is gone needs no replacing


def test_of_a_sketch_nothing_is_kept(studio: Studio) -> None:
    sketches = [studio.submit(requested(steps=24, count=3), sketch=True) for _ in range(SKETCHES_KEPT + 2)]
    for job in sketches:
        steps = [event for event in studio.follow(job) if isinstance(event, Step)]
        assert len(steps) == 6  # a quarter of them, each with a frame
        assert studio.frame(job, 0, 5, "x0")
    assert kinds(list(studio.follow(sketches[-1])))[-1] == "done"
    kept = studio.submit(requested(steps=24))
    assert isinstance(list(studio.follow(kept))[-1], Done)  # so what follows the last sketch's end has happened too
    assert [view.id for view in studio.jobs()] == [kept] == [studio.watch_queue(0, 0)[1].newest]
    assert {image.job for image in studio.images()} == {kept}
    for old in sketches[:2]:  # the newest can still be looked at
        assert studio.frame(old, 0, 5, "x0") is None
        with pytest.raises(NotFound):
            studio.job(old)
    assert studio.frame(kept, 0, 5, "x0")


def test_two_hundred_jobs_all_run_in_order_and_cancel_all_stops_the_rest(studio: Studio) -> None:
    jobs = [studio.submit(requested(steps=1, previews=False)) for _ in range(200)]
    for job in jobs[:60]:
        assert isinstance(list(studio.follow(job))[-1], Done)
    for job in jobs[60:]:
        studio.cancel(job)
    ends = {job: list(studio.follow(job))[-1].kind for job in jobs}
    assert set(ends.values()) <= {"done", "cancelled"}
    started = [view.started for view in reversed(studio.jobs(limit=300)) if view.started]
    assert started == sorted(started) and len(studio.jobs(limit=300)) == 200
    assert studio.jobs(states=("queued", "running")) == []


def test_all_jobs_are_cancelled_or_only_those_that_wait(studio: Studio, hold: Path) -> None:
    running, waiting, last = (studio.submit(requested()) for _ in range(3))
    next(event for event in studio.follow(running) if isinstance(event, Step))
    assert studio.cancel_all(running=False) == 2
    assert [studio.job(job).state for job in (running, waiting, last)] == ["running", "cancelled", "cancelled"]
    later = studio.submit(requested())
    assert studio.cancel_all(running=True) == 2
    assert kinds(list(studio.follow(running)))[-1] == "cancelled" == studio.job(later).state
    assert studio.jobs(states=("queued", "running")) == []


def test_killing_the_worker_interrupts_its_job_only(studio: Studio) -> None:
    for _ in range(4):
        doomed, next_one = studio.submit(requested("die young")), studio.submit(requested())
        end = list(studio.follow(doomed))[-1]
        assert isinstance(end, Interrupted) and "killed" in end.message
        assert studio.job(doomed).state == "interrupted" and studio.job(doomed).message == end.message
        assert isinstance(list(studio.follow(next_one))[-1], Done)
    assert len(studio.jobs(states=("interrupted",))) == 4
    assert list(studio.settings.outputs.rglob("*.tmp")) == []


def test_a_worker_whose_mapped_file_is_cut_short_says_so(studio: Studio) -> None:
    doomed, next_one = studio.submit(requested("cut short")), studio.submit(requested())
    end = list(studio.follow(doomed))[-1]
    assert isinstance(end, Interrupted) and "cut short" in end.message and "SIGBUS" in end.message
    assert isinstance(list(studio.follow(next_one))[-1], Done)


def test_an_interrupted_job_can_be_retried(studio: Studio, hold: Path) -> None:
    job = studio.submit(requested(seed=-1))
    next(event for event in studio.follow(job) if isinstance(event, Step))
    assert studio.worker_pid is not None
    os.kill(studio.worker_pid, signal.SIGKILL)
    assert isinstance(list(studio.follow(job))[-1], Interrupted)
    hold.unlink()
    again = studio.retry(job)
    assert isinstance(list(studio.follow(again))[-1], Done)
    assert studio.job(again).request == studio.job(job).request


def test_a_restart_keeps_waiting_jobs_and_interrupts_the_running_one(
    make_studio: Callable[..., Studio], hold: Path
) -> None:
    studio = make_studio()
    running, waiting = studio.submit(requested()), studio.submit(requested())
    before = list(islice(studio.follow(running), 3))
    studio.close()
    hold.unlink()
    reopened = make_studio()
    replayed = list(reopened.follow(running))
    assert replayed[:3] == before and isinstance(replayed[-1], Interrupted)
    assert isinstance(list(reopened.follow(waiting))[-1], Done)


def test_who_waits_is_told_when_the_queue_moves(studio: Studio, hold: Path) -> None:
    running, second, third = (studio.submit(requested(name)) for name in ("a", "b", "c"))
    next(event for event in studio.follow(running) if isinstance(event, Step))
    waiting = studio.follow(third)
    assert next(waiting) == Queued(ahead=2)
    hold.unlink()
    emitted = [event.ahead for event in waiting if isinstance(event, Queued)]
    assert emitted == [1, 0] and studio.job(second).state == "done"
    assert sum(isinstance(event, Queued) for event in studio.follow(third)) == 3


def test_a_failure_names_its_field(studio: Studio) -> None:
    job = studio.submit(requested("fail at once"))
    list(studio.follow(job))
    view = studio.job(job)
    assert (view.state, view.message, view.field) == ("failed", "It was asked to fail.", "prompt")
    assert isinstance(list(studio.follow(studio.submit(requested())))[-1], Done)


def test_what_is_not_there_is_said_plainly(studio: Studio) -> None:
    for ask in (studio.job, studio.follow, studio.cancel, studio.retry):
        with pytest.raises(NotFound, match="There is no job 'nonsense'"):
            ask("nonsense")
    for ask_image in (studio.image, studio.image_file, studio.thumbnail):
        with pytest.raises(NotFound, match="There is no image"):
            ask_image("../../etc/passwd")
    with pytest.raises(UnknownName) as caught:
        studio.submit(requested(model="no such model"))
    assert caught.value.field == "model" and "starter/fake" in str(caught.value)
    with pytest.raises(InvalidRequest):
        studio.submit(requested(sampler="no such sampler"))
    assert studio.jobs() == []


def test_two_models_and_their_options(studio: Studio) -> None:
    assert [model.id for model in studio.models()] == ["starter/fake", "other/large"]
    options = studio.options("default")
    assert options.model.id == "starter/fake" and "dpmpp_2m" in {choice.name for choice in options.samplers}


def test_a_deleted_image_is_no_longer_listed(studio: Studio) -> None:
    job = studio.submit(requested(count=2))
    image = next(event for event in studio.follow(job) if isinstance(event, ImageEvent))
    list(studio.follow(job))
    studio.image_file(image.id).unlink()
    assert [view.index for view in studio.images()] == [1]
    assert studio.image(image.id).seed == 7
    assert studio.job(job).images[0] == image.id
