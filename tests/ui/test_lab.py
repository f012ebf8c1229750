"""The 2-D laboratory's own arithmetic, run by node: the network is torch's, the closed form Python's, the solvers diffusers'."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402

from studio.training import builtin  # noqa: E402, F401
from studio.training.config import parse  # noqa: E402
from studio.training.denoising import solve  # noqa: E402
from studio.training.density import DensityLearner  # noqa: E402
from studio.ui.assets import STATIC  # noqa: E402

NODE = shutil.which("node")
SCRIPT = """
import { readFileSync } from "node:fs";
import * as model from "./lab_model.mjs";
import { SOLVERS, distance } from "./lab_solvers.mjs";
const bytes = readFileSync("density.safetensors");
const read = model.readModel(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const { points, label } = JSON.parse(readFileSync("asked.json"));
const x = Float64Array.from(points.flat());
const schedule = new model.Schedule(read.tensors, read.settings.schedule);
const [learned, mixture] = [new model.Learned(read), new model.Mixture(read)];
const out = {};
out.forward = [...learned.network.forward(x, 437, label)];
learned.label = label;
mixture.choose(label);
out.score = [...mixture.predict(x, schedule.at(437)).eps].map((eps) => -eps / schedule.at(437).sigma);
mixture.choose(null);
for (const name in SOLVERS) out[name] = [...SOLVERS[name].path(learned, schedule, x, 8).at(-1)];
const fine = SOLVERS.heun.path(mixture, schedule, x, 640).at(-1);
for (const name in SOLVERS) out[`${name}_errors`] = [40, 80].map((n) => distance(SOLVERS[name].path(mixture, schedule, x, n).at(-1), fine));
console.log(JSON.stringify(out));
"""


def answers(folder: Path, points: np.ndarray, label: int | None) -> dict[str, np.ndarray]:
    for name in ("lab_model", "lab_solvers"):
        shutil.copy(STATIC / f"{name}.js", folder / f"{name}.mjs")
    (folder / "script.mjs").write_text(SCRIPT)
    (folder / "asked.json").write_text(json.dumps({"points": points.tolist(), "label": label}))
    done = subprocess.run([str(NODE), "script.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: np.array(values) for name, values in json.loads(done.stdout).items()}


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("objective", "schedule", "classes"),
    [("flow", "flow", True), ("v", "linear", False), ("epsilon", "linear", True), ("x0", "scaled_linear", False)],
)
def test_the_browser_computes_what_torch_and_diffusers_do(
    tmp_path: Path, objective: str, schedule: str, classes: bool
) -> None:
    task = {"kind": "density", "density": "two_moons", "objective": objective, "schedule": schedule, "classes": classes}
    torch.manual_seed(5)
    learner = DensityLearner(parse({"name": "a", "task": task}), tmp_path)
    torch.nn.init.normal_(learner.model.out.weight, std=0.3)
    learner.export(tmp_path)
    points = np.random.default_rng(2).standard_normal((12, 2)).astype(np.float32)
    label = 1 if classes else None
    found = answers(tmp_path, points, label)

    labels = None if label is None else torch.full((12,), label)
    double, x = learner.model.double(), torch.from_numpy(points)
    with torch.no_grad():
        expected = double(x.double(), torch.tensor(437.0), labels)
        np.testing.assert_allclose(found["forward"], expected.flatten(), atol=1e-5)
        [alpha], [sigma] = learner.schedule.alpha_sigma(torch.tensor([437]))
        mixture = learner.density
        if label is not None:
            chosen = mixture.labels == label
            mixture = type(mixture)(mixture.centres[chosen], mixture.std, mixture.labels[chosen])
        score = mixture.score(points.astype(np.float64), float(alpha), float(sigma))
        np.testing.assert_allclose(found["score"], score.flatten(), rtol=1e-5, atol=1e-5)
        scheduler = learner.schedule.scheduler(learner.objective.prediction)
        stock = solve(scheduler, lambda x, t: double(x, t, labels), x.double(), 8).flatten()
    ours = found["euler" if schedule == "flow" else "dpmpp_2m"]
    np.testing.assert_allclose(ours, stock, atol=2e-4 * float(stock.abs().max()))
    assert (found["euler_errors"][1] < 0.7 * found["euler_errors"][0]).all()  # first order
    for second in ("heun_errors", "dpmpp_2m_errors"):
        assert found[second][1] < found["euler_errors"][1]
