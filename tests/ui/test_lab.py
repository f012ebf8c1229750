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

from studio.core.errors import InvalidRequest  # noqa: E402
from studio.training import builtin  # noqa: E402, F401
from studio.training.classifier import ClassifierLearner  # noqa: E402
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


GUIDANCE = """
import { readFileSync } from "node:fs";
import * as model from "./lab_model.mjs";
import { deviation, ancestral } from "./lab_solvers.mjs";
import { Classifier, exactGuidance, Guided } from "./lab_guidance.mjs";
const file = (name) => { const bytes = readFileSync(name); return model.readModel(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)); };
const read = file("classifier.safetensors");
const { points, label } = JSON.parse(readFileSync("asked.json"));
const x = Float64Array.from(points.flat());
const schedule = new model.Schedule(read.tensors, read.settings.schedule);
const [here, there] = [schedule.at(437), schedule.at(400)];
const [classifier, mixture] = [new Classifier(read), new model.Mixture(read)];
const guided = new Guided(mixture, { gradient: (points, t, label) => exactGuidance(mixture, points, here, label).map((g) => g / here.sigma) }, label, 1);
console.log(JSON.stringify({ gradient: [...classifier.gradient(x, 437, label)], exact: [...exactGuidance(mixture, x, here, label)], guided: [...guided.predict(x, here).eps],
  own: [...mixture.of(label).predict(x, here).eps], deviation: [deviation(here, there)], mean: [...ancestral(mixture.predict(x, here), there, deviation(here, there))] }));
"""


def answers(folder: Path, points: np.ndarray, label: int | None, script: str = SCRIPT) -> dict[str, np.ndarray]:
    for name in ("lab_model", "lab_solvers", "lab_guidance"):
        text = (
            (STATIC / f"{name}.js")
            .read_text()
            .replace('.js"', '.mjs"')
            .replace("./lab_plane.mjs", "data:text/javascript,export const REACH = 2, grid = null, Plane = null")
        )
        (folder / f"{name}.mjs").write_text(text)
    (folder / "script.mjs").write_text(script)
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


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize("schedule", ["flow", "linear"])
def test_guidance_in_the_browser_is_the_gradient_of_the_log_of_the_posterior(tmp_path: Path, schedule: str) -> None:
    task = {"kind": "classifier", "density": "two_moons", "schedule": schedule}
    torch.manual_seed(4)
    learner = ClassifierLearner(parse({"name": "a", "task": task}), tmp_path)
    torch.nn.init.normal_(learner.model.out.weight, std=0.3)
    learner.export(tmp_path)
    points = np.random.default_rng(2).standard_normal((12, 2)).astype(np.float32)
    found = answers(tmp_path, points, 1, GUIDANCE)

    x = torch.from_numpy(points).double().requires_grad_()
    logs = learner.model.double()(x, torch.tensor(437.0, dtype=torch.double)).log_softmax(dim=1)[:, 1]
    [gradient] = torch.autograd.grad(logs.sum(), x)
    np.testing.assert_allclose(found["gradient"], gradient.flatten(), atol=1e-5)

    [alpha, sooner], [sigma, less] = (
        each.double().numpy() for each in learner.schedule.alpha_sigma(torch.tensor([437, 400]))
    )
    density, wide = learner.density, points.astype(np.float64)

    def logs_of(moved: np.ndarray) -> np.ndarray:
        return np.log(density.posterior(moved, np.full(12, alpha), np.full(12, sigma))[:, 1])

    steps = np.eye(2) * 1e-5
    slope = np.stack([(logs_of(wide + step) - logs_of(wide - step)) / 2e-5 for step in steps], axis=1)
    np.testing.assert_allclose(found["exact"], sigma * slope.flatten(), atol=1e-4)
    np.testing.assert_allclose(
        found["guided"], found["own"], atol=1e-6
    )  # weight 1 of the exact gradient: the class's own score

    # DDPM's posterior mean and deviation (Ho et al. 2020, equation 7), for any alpha and sigma
    variance = sigma**2 - (alpha / sooner * less) ** 2
    x0 = density.denoised(wide, float(alpha), float(sigma))
    mean = (alpha / sooner) * less**2 / sigma**2 * wide + sooner * variance / sigma**2 * x0
    np.testing.assert_allclose(found["deviation"], np.sqrt(variance) * less / sigma, rtol=1e-4)
    np.testing.assert_allclose(found["mean"], mean.flatten(), atol=1e-4)


def test_a_classifier_learns_the_posterior_and_one_without_classes_is_refused(tmp_path: Path) -> None:
    task = {"kind": "classifier", "density": "two_moons"}
    learner = ClassifierLearner(parse({"name": "a", "task": task, "batch": 256}), tmp_path)
    adam = torch.optim.Adam(learner.model.parameters(), 0.01)
    before = learner.evaluate()["validation"]
    for step in range(40):
        adam.zero_grad()
        learner.loss(step, learner.batch(step))[0].backward()
        adam.step()
    after = learner.evaluate()
    assert after["validation_floor"] < after["validation"] < 0.8 * before
    with pytest.raises(InvalidRequest, match="needs a density with classes"):
        parse({"name": "a", "task": task | {"density": "swirl"}})
