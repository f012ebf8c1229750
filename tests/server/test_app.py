"""The whole studio as a process: `app.py`, its worker and a small random model, spoken to over HTTP."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.models.tiny_models import stable_diffusion

REQUEST = {"prompt": "a red heart", "steps": 3, "width": 64, "height": 64, "seed": 7, "count": 2, "dtype": "fp32"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[httpx.Client]:
    models, outputs = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("outputs")
    stable_diffusion(models / "tiny")
    flags = ["--port", "0", "--no-browser", "--only-models", str(models), "--outputs", str(outputs)]
    process = subprocess.Popen(
        [sys.executable, "app.py", *flags], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "Unnoise is at" in said, process.stderr and process.stderr.read()
        with httpx.Client(base_url=said.split()[3], timeout=600) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0
        assert errors == ""
    finally:
        process.kill()
        process.communicate()


def events_of(studio: httpx.Client, job: str) -> list[dict]:
    with studio.stream("GET", f"/jobs/{job}/events") as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]


@pytest.mark.sweep  # by default in tests/e2e/test_real_studio.py, in a browser
def test_from_a_request_to_pictures_over_http(studio: httpx.Client) -> None:
    job = studio.post("/jobs", json=REQUEST).json()["id"]
    events = events_of(studio, job)
    assert [e["kind"] for e in events if e["kind"] not in ("loading", "step")] == ["queued", "image", "image", "done"]
    steps = [e for e in events if e["kind"] == "step"]
    assert [(e["index"], e["total"]) for e in steps] == [(0, 3), (1, 3), (2, 3)] * 2
    assert studio.get(f"/jobs/{job}").json()["state"] == "done"
    images = [e for e in events if e["kind"] == "image"]
    assert [e["seed"] for e in images] == [7, 8]
    for event in images:
        answer = studio.get(f"/images/{event['id']}")
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (64, 64)
            assert json.loads(picture.info["unnoise"])["request"]["prompt"] == "a red heart"
        assert studio.get(f"/thumbnails/{event['id']}").content.startswith(b"\xff\xd8")
    for kind in ("x0", "xt"):
        frame = studio.get(f"/frames/{job}/1/2.jpg", params={"kind": kind})
        assert frame.content.startswith(b"\xff\xd8")
    assert studio.get(f"/frames/{job}/0/3.jpg").status_code == 404


@pytest.mark.sweep
def test_the_same_wish_over_http_gives_the_same_pixels(studio: httpx.Client) -> None:
    twice = [events_of(studio, studio.post("/jobs", json=REQUEST | {"count": 1}).json()["id"]) for _ in range(2)]
    hashes = [e["sha256"] for events in twice for e in events if e["kind"] == "image"]
    assert len(hashes) == 2
    assert len(set(hashes)) == 1


@pytest.mark.sweep  # by default in test_routes.py, and in tests/e2e with Stop
def test_a_running_job_is_cancelled_by_its_id(studio: httpx.Client) -> None:
    job = studio.post("/jobs", json=REQUEST | {"steps": 900, "sampler": "ddim"}).json()["id"]
    with studio.stream("GET", f"/jobs/{job}/events") as answer:
        kinds = (json.loads(line[6:])["kind"] for line in answer.iter_lines() if line.startswith("data: "))
        assert "step" in kinds
        assert studio.post(f"/jobs/{job}/cancel").json() == {"cancelled": True}
        assert list(kinds)[-1] == "cancelled"
    assert studio.post(f"/jobs/{job}/cancel").json() == {"cancelled": False}


def test_a_request_that_the_model_cannot_fulfil_is_refused_at_its_field(studio: httpx.Client) -> None:
    for wrong, field in (
        ({"model": "nobody"}, "model"),
        ({"sampler": "lcm"}, "sampler"),
        ({"spacing": "ays?"}, "spacing"),
    ):
        answer = studio.post("/jobs", json=REQUEST | wrong)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_the_page_is_there_and_names_no_other_host(studio: httpx.Client) -> None:
    page = studio.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "https:" not in policy
    assert "*" not in policy
    assert "connect-src 'self'" in policy
