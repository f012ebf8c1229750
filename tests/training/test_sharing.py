"""Training waits, between two steps, while pictures are made; what it learns stays the same."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from studio.training.cli import run
from studio.training.config import parse
from studio.training.sharing import making_pictures, pictures_are_made, wait_for_pictures


def test_a_run_waits_as_long_as_any_studio_makes_pictures(tmp_path: Path) -> None:
    looks = []

    def stopping() -> bool:
        looks.append(pictures_are_made(tmp_path))
        if len(looks) == 2:
            second.close()  # the other studio has not ended yet
        if len(looks) == 3:
            first.close()
        return False

    assert not pictures_are_made(tmp_path)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(making_pictures(tmp_path))
        second.enter_context(making_pictures(tmp_path))
        assert wait_for_pictures(tmp_path, stopping) > 0
        assert looks == [True, True, True]
    assert wait_for_pictures(tmp_path, stopping) < 1e9 and len(looks) == 3  # nothing to wait for


def test_a_run_that_is_stopped_does_not_wait(tmp_path: Path) -> None:
    with making_pictures(tmp_path):
        wait_for_pictures(tmp_path, lambda: True)
        assert pictures_are_made(tmp_path)


def test_a_folder_that_cannot_be_made_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with making_pictures(tmp_path / "runs"):
        assert not pictures_are_made(tmp_path / "runs")


@pytest.mark.parametrize("waits", [True, False])
def test_the_trainer_waits_before_its_steps_and_learns_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    recipe = {"steps": 6, "log_every": 2, "batch": 16, "threads": 1, "sample_every": 6, "waits": waits}
    config = parse({"name": "toy", "task": {"kind": "density"}}, recipe)
    alone = [report.figures for report in run(config, tmp_path / "alone") if report.kind == "metrics"]
    looks = []
    with ExitStack() as made:
        made.enter_context(making_pictures(tmp_path / "runs"))
        monkeypatch.setattr("studio.training.sharing.time.sleep", lambda seconds: looks.append(seconds) or made.close())
        beside = [report.figures for report in run(config, tmp_path / "runs" / "toy") if report.kind == "metrics"]
    assert len(looks) == int(waits)
    assert beside == alone
