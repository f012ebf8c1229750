"""What the host does with workers that hang, do not listen, cannot start, or lose their host."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from studio.core.events import Done, Failed, Interrupted, Step
from studio.core.request import GenerationRequest
from studio.jobs.host import Patience
from studio.studio import Studio

ROOT = Path(__file__).resolve().parents[2]


def requested(prompt: str) -> GenerationRequest:
    return GenerationRequest(prompt=prompt, steps=2, seed=1)


def test_a_worker_that_says_nothing_any_more_is_started_anew(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio(patience=Patience(hang=2.0))
    hung, next_one = studio.submit(requested("hang")), studio.submit(requested("a picture"))
    end = list(studio.follow(hung))[-1]
    assert isinstance(end, Interrupted) and "no longer answered" in end.message
    assert isinstance(list(studio.follow(next_one))[-1], Done)


def test_a_worker_deaf_to_cancel_is_ended_and_its_job_is_cancelled(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio(patience=Patience(cancel=0.2))
    deaf, next_one = studio.submit(requested("deaf")), studio.submit(requested("a picture"))
    next(event for event in studio.follow(deaf) if isinstance(event, Step))
    assert studio.cancel(deaf)
    assert list(studio.follow(deaf))[-1].kind == "cancelled"
    assert isinstance(list(studio.follow(next_one))[-1], Done)


def test_a_worker_that_cannot_start_fails_the_waiting_jobs_with_a_sentence(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio("tests.jobs.fake_worker:cannot_start", patience=Patience(restart=0.01))
    for _ in range(2):
        end = list(studio.follow(studio.submit(requested("a picture"))))[-1]
        assert isinstance(end, Failed) and "cannot start (exit code 3)" in end.message and "worker.log" in end.message


def test_a_worker_that_knows_why_it_cannot_work_says_so_in_its_own_words(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio("tests.jobs.fake_worker:unable", patience=Patience(restart=60.0))
    end = list(studio.follow(studio.submit(requested("a picture"))))[-1]
    assert isinstance(end, Failed) and end.message == "There is no such device here."


@pytest.mark.sweep  # by default it begins the next test
def test_the_worker_dies_with_a_killed_studio(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom tests.jobs.conftest import FixedCatalog\nfrom pathlib import Path\n"
        "from studio.core.settings import Settings\nfrom studio.core.request import GenerationRequest\n"
        "from studio.studio import Studio\n"
        "studio = Studio(Settings(outputs=Path(sys.argv[1])), catalog=FixedCatalog(), entry='tests.jobs.fake_worker:main')\n"
        "job = studio.submit(GenerationRequest(prompt='hang', steps=2))\n"
        "next(e for e in studio.follow(job) if e.kind == 'step')\n"
        "print(studio.worker_pid, job, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    worker = int(done.stdout.split()[0])
    if psutil.pid_exists(worker):
        psutil.Process(worker).wait(timeout=300)
    assert not psutil.pid_exists(worker)


def test_a_killed_studios_queue_is_taken_up_by_the_next(make_studio: Callable[..., Studio], tmp_path: Path) -> None:
    test_the_worker_dies_with_a_killed_studio(tmp_path / "outputs")
    studio = make_studio()
    (view,) = studio.jobs()
    assert view.state == "interrupted" and view.message == "The studio was stopped while this ran."
    assert studio.frame(view.id, 0, 0, "x0")
    assert isinstance(list(studio.follow(studio.submit(requested("a picture"))))[-1], Done)


def test_closing_ends_the_worker_at_once(make_studio: Callable[..., Studio]) -> None:
    studio = make_studio()
    job = studio.submit(requested("hang"))
    next(event for event in studio.follow(job) if isinstance(event, Step))
    worker = studio.worker_pid
    studio.close()
    assert worker is not None and not psutil.pid_exists(worker)
    assert os.path.exists(studio.settings.outputs / ".unnoise" / "worker.log")
