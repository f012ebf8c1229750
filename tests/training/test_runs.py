"""Runs as processes: started from a recipe, paused, gone on with, copied, exported and deleted; found again from their files."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.errors import InvalidRequest, NotFound
from studio.training.cli import main
from studio.training.config import parse
from studio.training.form import fields
from studio.training.runs import LOCK, LOG, Runs, held
from studio.training.runs import RECIPE as RECIPE_FILE

RECIPE: dict[str, Any] = {
    "name": "dots",
    "title": "Dots",
    "about": {"makes": "Almost nothing."},
    "steps": 4000,
    "batch": 2,
    "precision": "fp32",
    "threads": 1,
    "log_every": 1,
    "sample_every": 5,
    "save_every": 5,
    "data": {"name": "digits", "size": 16},
    "task": {
        "kind": "pixels",
        "pictures": 16,
        "sample_steps": 2,
        "model": {
            "block_out_channels": [8, 8],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "UpBlock2D"],
            "norm_num_groups": 4,
        },
    },
}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "dots.yaml").write_text(yaml.safe_dump(RECIPE))
    needy = RECIPE | {"task": {"kind": "autoencoder", "start_from": "runs/never-made"}}
    (recipes / "needy.yaml").write_text(yaml.safe_dump(needy))
    (recipes / "broken.yaml").write_text("name: [")
    return Runs(tmp_path / "runs", recipes, tmp_path / "models", niceness=0)


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.05)


def test_a_run_is_started_paused_gone_on_with_and_exported(runs: Runs, tmp_path: Path) -> None:
    from studio.training.trainer import Trainer

    run = runs.start("dots", {"optimizer.learning_rate": 0.002, "seed": 3})
    assert runs.get(run).state == "running"
    with pytest.raises(InvalidRequest, match="running already"):
        runs.resume(run)
    with pytest.raises(InvalidRequest, match="Pause"):
        runs.delete(run)
    until(lambda: len(runs.get(run).samples) > 0)
    runs.pause(run)
    until(lambda: runs.get(run).state != "running")
    paused = runs.get(run)
    assert (paused.state, paused.message, paused.exportable) == ("paused", "", False)
    assert runs.config(run).optimizer.learning_rate == 0.002
    position, rows = runs.metrics(run)
    assert [row["step"] for row in rows if "loss" in row["figures"]] == list(range(1, paused.step + 1))
    assert runs.metrics(run, position) == (position, [])
    with pytest.raises(InvalidRequest, match="no model"):
        runs.export(run)

    copy = runs.fork(run)
    config = yaml.safe_load((tmp_path / "runs" / copy / "config.yaml").read_text())
    (tmp_path / "runs" / copy / "config.yaml").write_text(yaml.safe_dump(config | {"steps": paused.step + 3}))
    list(Trainer(runs.config(copy), tmp_path / "runs" / copy, resume=True).run())  # here, which spares a process
    assert runs.get(copy).state == "done", runs.get(copy).message
    assert runs.get(run).step == paused.step
    model = runs.export(copy)
    assert model == f"trained/{copy}" == runs.get(copy).model
    assert (tmp_path / "models" / model / "model_index.json").is_file()
    assert runs.sample(copy, runs.get(copy).samples[-1]).is_file()
    runs.delete(run)
    assert [view.id for view in runs.all()] == [copy]


def test_a_run_that_cannot_go_on_says_why(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What its process does, done in this one."""
    folder = tmp_path / "runs" / "flow"
    folder.mkdir(parents=True)
    (folder / RECIPE_FILE).write_text(yaml.safe_dump(RECIPE | {"task": RECIPE["task"] | {"objective": "flow"}}))
    assert main([str(folder / RECIPE_FILE), "--run", str(folder), "--json"]) == 2
    (folder / LOG).write_text(capsys.readouterr().err)
    assert runs.get("flow").state == "failed"
    assert "choose one of them" in runs.get("flow").message


def test_recipes_that_cannot_start_say_so_beforehand(runs: Runs) -> None:
    ready, needy = runs.recipes()
    assert (ready.name, ready.problem, ready.about) == ("dots", "", "Almost nothing.")
    assert "runs/never-made" in needy.problem
    with pytest.raises(InvalidRequest, match="never-made"):
        runs.start("needy", {})
    with pytest.raises(InvalidRequest, match="steps"):
        runs.start("dots", {"steps": 0})
    with pytest.raises(NotFound):
        runs.start("nothing", {})
    assert runs.all() == []


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 99])
def test_a_run_has_a_plain_name(runs: Runs, name: str) -> None:
    with pytest.raises(NotFound):
        runs.get(name)


def test_a_folder_is_trained_in_by_one_process_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(InvalidRequest, match="running already"), held(tmp_path):
        pass
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()


def test_the_form_shows_every_setting_but_what_a_recipe_says_of_itself() -> None:
    rows = {row.name: row for row in fields(parse(dict(RECIPE)))}
    assert {"steps", "data.size", "optimizer.learning_rate", "task.model"} <= set(rows)
    assert not any(name.startswith("about") for name in rows)
    assert rows["steps"].first
    assert (rows["optimizer.decay"].least, rows["optimizer.decay"].most, rows["optimizer.decay"].group) == (
        0,
        1,
        "Optimizer",
    )
