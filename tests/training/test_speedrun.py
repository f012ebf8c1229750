"""The speedrun's clock counts training alone, and what a track fixes cannot be changed."""

import pytest

from studio.core.errors import InvalidRequest, UnknownName
from studio.training import speedrun
from studio.training.trainer import Metrics, Sample


def test_the_clock_leaves_out_evaluations_and_stops_at_the_first_that_meets_the_target(monkeypatch):
    times = iter([0.0, 2.0, 50.0, 51.0, 54.0, 90.0])
    monkeypatch.setattr(speedrun.time, "process_time", lambda: next(times))
    far, near = {"sliced_wasserstein": 0.3, "off_mode": 0.01}, {"sliced_wasserstein": 0.1, "off_mode": 0.05}
    reports = [Metrics(25, 100, {"loss": 1.0}, 1, 1, 1), Metrics(25, 100, far, 1, 0, 0), Sample(25, "")]
    reports += [Metrics(50, 100, {"loss": 1.0}, 1, 1, 1), Metrics(50, 100, near, 1, 0, 0), Sample(50, "")]
    assert speedrun._clocked(iter(reports), speedrun.TRACKS["2d"]) == (5.0, 50)


def test_a_recipe_may_change_anything_but_what_the_track_fixes(tmp_path):
    _, own = speedrun.track_config("2d", {})
    _, muon = speedrun.track_config("2d", {"optimizer.name": "muon"})
    assert speedrun.recipe_hash(own) != speedrun.recipe_hash(muon)
    assert speedrun.recipe_hash(own) == speedrun.recipe_hash(own.model_copy(update={"seed": 9}))
    with pytest.raises(InvalidRequest, match=r"fixes task\.density"):
        speedrun.track_config("2d", {"task.density": "two_moons"})
    with pytest.raises(UnknownName):
        speedrun.track_config("cifar", {})
    table = tmp_path / "speedrun.md"
    speedrun.record(speedrun.Result("2d", "abc", (1.0, 2.0, 3.0), (25, 50, 75)), table)
    assert "| 2d | `abc` | 1, 2, 3 | 2.00 ± 1.00 | 25, 50, 75 |" in table.read_text()
