"""The ideal denoiser that the page computes, run by node, against numpy; and the training set that it is given."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.training.config import load, parse
from studio.training.datasets.digits import Digits
from studio.training.runs import Runs
from studio.training.training_set import count_of, main
from studio.training.training_sets import TrainingSets
from studio.ui.assets import STATIC

NODE = shutil.which("node")
RECIPES = Path("presets/training")
SCRIPT = """
import { readFileSync } from "node:fs";
import { Ideal, READ } from "./visualizer_ideal.mjs";
const { pictures, count, x, alpha, sigma } = JSON.parse(readFileSync("asked.json"));
const ideal = new Ideal(Float64Array.from(pictures), count);
const found = ideal.at(Float64Array.from(x), alpha, sigma);
const read = READ.v_prediction(found.mean.map((x0, at) => (alpha * x[at] - x0) / sigma), Float64Array.from(x), alpha, sigma);
console.log(JSON.stringify({ mean: [...found.mean], shares: [...found.shares], effective: found.effective, likeliest: found.likeliest, read: [...read],
  end: [...ideal.at(ideal.pictures.subarray(0, ideal.size), 1, 0).mean], nearest: ideal.nearest(ideal.pictures.subarray(0, ideal.size), 0), deviation: ideal.deviation }));
"""


def answers(folder: Path, **asked: Any) -> dict[str, Any]:
    shutil.copy(STATIC / "visualizer_ideal.js", folder / "visualizer_ideal.mjs")
    (folder / "script.mjs").write_text(SCRIPT)
    (folder / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run([str(NODE), "script.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_ideal_denoiser_is_the_posterior_mean_of_the_training_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pictures, alpha, sigma = rng.normal(size=(9, 6)), 0.6, 0.8
    x = alpha * pictures[4] + sigma * rng.normal(size=6)
    found = answers(tmp_path, pictures=pictures.ravel().tolist(), count=9, x=x.tolist(), alpha=alpha, sigma=sigma)
    likelihood = np.exp(-((x - alpha * pictures) ** 2).sum(1) / (2 * sigma**2))
    shares = likelihood / likelihood.sum()
    np.testing.assert_allclose(found["shares"], shares, rtol=1e-10)
    np.testing.assert_allclose(found["mean"], shares @ pictures, rtol=1e-10)
    np.testing.assert_allclose(found["read"], shares @ pictures, rtol=1e-8)  # v = alpha eps - sigma x0, read back
    assert found["effective"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert found["likeliest"] == shares.argmax() and found["deviation"] == pytest.approx(pictures.std())
    np.testing.assert_allclose(found["end"], pictures[0])  # without noise: a training picture
    apart = np.sqrt(((pictures[0] - pictures[1:]) ** 2).mean(1))
    assert found["nearest"] == {"picture": 1 + int(apart.argmin()), "distance": pytest.approx(apart.min())}


def test_the_training_set_of_a_run_is_what_it_was_trained_on(tmp_path: Path) -> None:
    config = parse(load(RECIPES / "digits.yaml").model_dump(mode="json"), {"task.pictures": 64})
    assert count_of(config) == (64, 64)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    main(str(tmp_path / "config.yaml"), str(tmp_path), str(tmp_path / "set.safetensors"))
    with safe_open(tmp_path / "set.safetensors", "np") as file:
        about, x0 = json.loads(file.metadata()["training_set"]), file.get_tensor("x0")
        pictures = file.get_tensor("pictures")
    truth = np.stack([Digits(16)[k].image for k in range(64)])
    assert about == {"data": "digits", "total": 64} and np.array_equal(pictures, truth)
    np.testing.assert_allclose(x0, truth.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-3)


def test_a_model_whose_training_is_not_known_is_refused_in_a_sentence(tmp_path: Path) -> None:
    sets = TrainingSets(tmp_path / "sets", Runs(tmp_path / "runs", RECIPES, tmp_path / "models"), RECIPES)
    for model in ("sd15", "trained/gone"):
        info = ModelInfo(id=model, title="A model", kind="diffusers")
        with pytest.raises(InvalidRequest, match="What A model was trained on is not known here"):
            sets.path(info, tmp_path)
