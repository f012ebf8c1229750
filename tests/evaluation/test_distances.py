"""Distances between sets of pictures agree with their closed forms, rise with blur, find copies, and are named for what computed them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from studio import compat

compat.prepare()

from studio.__main__ import main  # noqa: E402
from studio.evaluation import published  # noqa: E402
from studio.evaluation.distances import frechet_distance, kernel_distance, nearest, precision_recall  # noqa: E402
from studio.evaluation.probe import Probe  # noqa: E402
from studio.training.datasets import datasets  # noqa: E402
from studio.training.distances import Sets, measure  # noqa: E402

RNG = np.random.default_rng(0)


def gaussian(n: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """A sample whose own mean and covariance are exactly these."""
    x = RNG.standard_normal((n, len(mean)))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_two_gaussians_is_the_closed_form_and_of_a_set_with_itself_zero() -> None:
    a, b = np.array([[2.0, 0.6], [0.6, 1.0]]), np.array([[1.0, -0.3], [-0.3, 0.5]])
    x, y = gaussian(200, np.zeros(2), a), gaussian(300, np.array([1.0, -2.0]), b)
    # Of 2 x 2 matrices: tr (A B)^(1/2) = (tr A B + 2 (det A B)^(1/2))^(1/2).
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    assert frechet_distance(x, y) == pytest.approx(5 + np.trace(a + b) - 2 * root, rel=1e-9)
    wide = RNG.standard_normal((50, 80))  # fewer pictures than features: the covariance is singular
    assert frechet_distance(wide, wide) == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_is_unbiased() -> None:
    real, other, moved = (RNG.standard_normal((400, 8)) + shift for shift in (0, 0, 0.5))
    mean, deviation = kernel_distance(real, other, size=100)
    assert abs(mean) < 2 * deviation
    assert kernel_distance(real, moved, size=100)[0] > 3 * deviation


def test_precision_and_recall_tell_apart_what_is_missing_and_what_is_wrong() -> None:
    real = np.concatenate([RNG.standard_normal((100, 2)), RNG.standard_normal((100, 2)) + 20])
    half = RNG.standard_normal((100, 2))
    precision, recall = precision_recall(real, half)
    assert precision > 0.9 and recall == pytest.approx(0.5, abs=0.1)
    assert precision_recall(real, real - 60)[0] == 0


def test_copies_of_training_pictures_are_found() -> None:
    train, held_out, made = (RNG.standard_normal((200, 6)) for _ in range(3))
    assert len(nearest(train, held_out, made).memorised) < 12
    made[:30] = train[50:80] + 1e-4
    found = nearest(train, held_out, made)
    assert set(range(30)) <= set(found.memorised) and found.rows[:30] == tuple(range(50, 80))


def test_the_probes_distance_rises_with_blur_and_is_named_by_its_hash_beside_the_floor(root: Path) -> None:
    probe = Probe.load(root / "models" / "starter" / "probe")
    train, held_out = (
        [Image.fromarray(datasets.get("tinyworld")(split=split)[i].image) for i in range(60)]
        for split in ("train", "held_out")
    )
    scores = []
    for radius in (0.0, 2.0, 4.0):
        blurred = [picture.filter(ImageFilter.GaussianBlur(radius)) for picture in held_out]
        found = measure(["fd"], Sets(blurred, (), train, held_out), probe)
        assert list(found) == [f"FD-{probe.name()}@60"]
        scores.append(found[f"FD-{probe.name()}@60"])
    assert scores[0]["score"] == scores[0]["floor"] == scores[2]["floor"]
    assert scores[0]["score"] < scores[1]["score"] < scores[2]["score"]


def test_a_folder_is_measured_and_what_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setattr(published, "places", lambda: (tmp_path / "weights",))
    monkeypatch.chdir(root)
    (folder := tmp_path / "pictures").mkdir()
    source = datasets.get("tinyworld")()
    for i in range(12):
        Image.fromarray(source[i].image).save(folder / f"{i}.png")
    assert main(["evaluate", str(folder), "--metric", "nearest", "--metric", "fid", "--count", "12", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    [(name, row)] = said["metrics"].items()
    assert name.startswith("nearest-probe-") and name.endswith("@12")
    assert row["score"] == 0 and row["memorised"] == 12  # they are the training pictures themselves
    assert published.INCEPTION in said["missing"]["fid"] and "weights" in said["missing"]["fid"]
    for bad in (["--metric", "nonsense"], ["--count", "1"]):
        assert main(["evaluate", str(folder), *bad]) == 2
    assert main(["evaluate", "adherance"]) == 2
    assert "no model or measure 'adherance'" in capsys.readouterr().err
