"""The routes of training runs, over the real runs of an empty folder: answers, and refusals in a sentence."""

from pathlib import Path

import pytest

from tests.server.memory_studio import MemoryStudio
from tests.server.test_routes import Call, call, studio  # noqa: F401

LOCKED_NAME = "toy-1"


@pytest.fixture
def run(studio: MemoryStudio) -> str:  # noqa: F811
    """A paused run with two rows of figures and one sample."""
    folder = studio.folder / "runs" / LOCKED_NAME
    (folder / "samples").mkdir(parents=True)
    (folder / "run.lock").touch()
    (folder / "recipe.yaml").write_text("name: toy\nsteps: 9\ntask: {kind: pixels}\n")
    (folder / "metrics.jsonl").write_text(
        '{"step": 1, "figures": {"loss": 2.0}}\n{"step": 2, "figures": {"loss": 1.0}}\n'
    )
    (folder / "samples" / "step-00000002.png").write_bytes(b"\x89PNG")
    return LOCKED_NAME


def test_a_run_is_listed_with_its_figures_and_samples(call: Call, run: str) -> None:  # noqa: F811
    [listed] = call("GET", "/runs").json()
    assert (listed["id"], listed["state"], listed["step"], listed["samples"]) == (run, "paused", 2, [2])
    assert call("GET", f"/runs/{run}").json() == listed
    answer = call("GET", f"/runs/{run}/metrics").json()
    assert [row["step"] for row in answer["rows"]] == [1, 2]
    assert call("GET", f"/runs/{run}/metrics?after={answer['after']}").json()["rows"] == []
    assert call("GET", f"/runs/{run}/samples/2.png").content == b"\x89PNG"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/runs", {"recipe": "nothing"}),
        ("POST", "/runs", {"recipe": 5}),
        ("POST", f"/runs/{LOCKED_NAME}/pause", {}),
        ("POST", f"/runs/{LOCKED_NAME}/export", {}),
        ("POST", f"/runs/{LOCKED_NAME}/start", {}),
        ("GET", "/runs/..", None),
        ("GET", f"/runs/{LOCKED_NAME}/samples/7.png", None),
        ("GET", "/runs/none/metrics", None),
    ],
)
def test_what_cannot_be_done_is_refused(call: Call, run: str, method: str, path: str, body: object) -> None:  # noqa: F811
    answer = call(method, path, json=body) if body is not None else call(method, path)
    assert answer.status_code in (404, 405, 422)


def test_a_run_is_copied_and_deleted(call: Call, run: str, studio: MemoryStudio) -> None:  # noqa: F811
    copy = call("POST", f"/runs/{run}/fork", json={}).json()["id"]
    assert call("POST", f"/runs/{run}/delete", json={}).json() == {"id": run}
    assert [each["id"] for each in call("GET", "/runs").json()] == [copy]
    assert not Path(studio.folder / "runs" / run).exists()
