"""Densities in the plane: their scores are the closed form, runs on them learn and resume exactly, and the metrics are what they claim."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from studio.cli.runs import main
from studio.core.errors import InvalidRequest, NotFound
from studio.evaluation.points import off_mode, sliced_wasserstein
from studio.training.config import parse
from studio.training.datasets.densities import densities, density
from studio.training.form import fields
from studio.training.runs import held
from studio.training.trainer import Sample, Trainer
from tests.training.conftest import config

TASK = {"kind": "density", "density": "two_moons", "classes": True, "hidden": 16, "layers": 2, "sample_steps": 3}
INK = [[i / 30, (i % 7) / 7] for i in range(30)]


@pytest.mark.parametrize("name", densities.names())
def test_the_score_is_the_gradient_of_the_log_density(name):
    made = density(name)
    points, labels = made.draw(4000, np.random.default_rng(1))
    assert np.abs(points.mean(axis=0)).max() < 0.06
    assert abs(points.var() - 1) < 0.05
    assert set(labels) == set(range(made.classes))
    centres = torch.from_numpy(made.centres)
    for alpha, sigma in ((0.999, 0.04), (0.6, 0.8), (0.0, 1.0)):
        x = torch.from_numpy(points[:20].astype(np.float64) * alpha + sigma).requires_grad_()
        variance = alpha**2 * made.std**2 + sigma**2
        squares = (x[:, None] - alpha * centres).square().sum(-1)
        torch.logsumexp(-0.5 * squares / variance, dim=1).sum().backward()
        assert x.grad is not None
        score = made.score(x.detach().numpy(), alpha, sigma)
        np.testing.assert_allclose(score, x.grad.numpy(), rtol=1e-6, atol=1e-6)


def test_distances_have_their_closed_forms():
    points = np.random.default_rng(0).standard_normal((500, 2))
    assert sliced_wasserstein(points, points[::-1]) == 0
    shifted = sliced_wasserstein(points, points + (0.3, 0.4))  # 0.5 times the mean of |cos|
    assert shifted == pytest.approx(0.5 * 2 / np.pi, rel=1e-3)
    centres = np.array([[0.0, 0.0], [9.0, 0.0]])
    assert off_mode(np.array([[0.39, 0.0], [9.0, 0.41], [4.0, 0.0], [8.7, 0.2]]), centres, 0.1) == 0.5


def test_a_run_learns_stops_and_goes_on_exactly(tmp_path):
    recipe = {"steps": 60, "batch": 64, "sample_every": 20, "optimizer": {"learning_rate": 0.01, "warmup": 1}}
    whole = list(Trainer(config(TASK, **recipe), tmp_path / "whole").run())
    stopped = Trainer(config(TASK, **recipe), tmp_path / "parts")
    for report in stopped.run():
        if isinstance(report, Sample):
            stopped.stop()
    list(Trainer(config(TASK, **recipe), tmp_path / "parts", resume=True).run())
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    first, second = ([json.loads(line)["figures"] for line in each] for each in lines)
    assert first == second
    shown = [figures for figures in first if "validation" in figures]
    assert shown[-1]["validation"] < shown[0]["validation"]
    assert shown[-1]["sliced_wasserstein"] < shown[0]["sliced_wasserstein"]
    assert shown[-1]["sliced_wasserstein_floor"] < 0.1
    assert sum(isinstance(report, Sample) for report in whole) == 3
    assert len(list((tmp_path / "whole" / "weights").iterdir())) == 3
    with safe_open(tmp_path / "whole" / "model" / "density.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["unnoise"])
        assert (settings["density"], settings["classes"], settings["step"]) == ("two_moons", 2, 60)
        assert {"mlp.out.weight", "centres", "alpha", "sigma"} <= set(file.keys())


@pytest.mark.parametrize(("objective", "schedule"), [("epsilon", "linear"), ("x0", "scaled_linear"), ("v", "linear")])
def test_every_objective_is_sampled_by_its_scheduler(tmp_path, objective, schedule):
    task = TASK | {"objective": objective, "schedule": schedule, "classes": False}
    trainer = Trainer(config(task, steps=2, batch=8), tmp_path)
    list(trainer.run())
    assert np.isfinite(trainer.learner._draw()).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"density": "cats"}, "there is no density 'cats'; choose eight_gaussians"),
        ({"density": "drawing", "drawing": INK[:3]}, "too little ink"),
        ({"density": "drawing", "drawing": [[1, 1]] * 30}, "in one place"),
        ({"density": "drawing", "drawing": [[1, float("nan")]] * 30}, "finite"),
        ({"objective": "epsilon"}, "goes with the flow schedules"),
    ],
)
def test_what_cannot_be_trained_is_refused_beforehand(task, message):
    with pytest.raises(InvalidRequest, match=message):
        config({"kind": "density", **task})


def test_a_drawing_is_scaled_and_its_form_shows_what_it_reads():
    made = density("drawing", np.array(INK))
    assert (made.centres**2).mean() == pytest.approx(1 - made.std**2)
    rows = {row.name for row in fields(parse({"name": "a", "task": {"kind": "density"}}))}
    assert {"task.density", "task.objective", "data.seed"} <= rows
    assert "data.styles" not in rows


def test_a_run_is_listed_exported_and_reported_by_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "moons"
    with held(folder):
        list(Trainer(config(TASK, steps=4, batch=8, sample_every=2), folder).run())
    flags = ["--runs", str(tmp_path / "runs"), "--only-models", str(tmp_path / "models")]
    assert main(["list", "--json", *flags]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["kind"], listed["state"]) == ("moons", "density", "done")
    main(["show", "moons", "--json", *flags])
    assert json.loads(capsys.readouterr().out)["config"]["task"]["density"] == "two_moons"
    main(["report", "moons", *flags])
    text = (tmp_path / capsys.readouterr().out.strip()).read_text()
    assert text.count("data:image/png;base64,") == 2
    assert all(each in text for each in ("Loss", "Sliced Wasserstein", "density: two_moons"))
    assert text.count("<polyline") >= 5
    assert "http" not in text
    with pytest.raises(InvalidRequest, match="2-D laboratory"):
        main(["export", "moons", *flags])
    main(["export", "moons", "--out", "made", *flags])
    assert (tmp_path / "made" / "density.safetensors").is_file()
    with pytest.raises(NotFound):
        main(["show", "nothing", *flags])
