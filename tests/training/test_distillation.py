"""Few-step students: closed forms where data are Gaussian, and runs of every method that learn, resume and open in stock pipelines."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, LCMScheduler
from safetensors import safe_open

from studio.core.errors import InvalidRequest
from studio.training.config import parse
from studio.training.distillation import Batch, Networks, methods
from studio.training.distillation.denoiser import Denoiser
from studio.training.distillation.student import Student
from studio.training.objectives import objectives
from studio.training.schedules import schedules
from studio.training.trainer import Trainer
from tests.models.tiny_models import stable_diffusion
from tests.sweeps import one_in
from tests.training.conftest import config
from tests.training.test_trainer import trace

STD = 0.3  # of the data, in each coordinate
FLOW, VP = ("flow", "flow"), ("v", "scaled_linear")
X0 = STD * torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
EPS = torch.randn(64, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
U = (torch.arange(64) + 0.5) / 64


def denoiser(kind: tuple[str, str], x0_of) -> Denoiser:
    """Of a closed form x0_of(x, alpha, sigma)."""
    objective, schedule = objectives.get(kind[0]), schedules.get(kind[1])()

    def network(x, t, given):
        alpha, sigma = (s.double().view(-1, 1) for s in schedule.alpha_sigma(t))
        x0 = x0_of(x, alpha, sigma)
        return objective.target(x0, (x - alpha * x0) / sigma.clamp(min=1e-9), alpha, sigma)

    return Denoiser(network, objective, schedule)


def exact(kind: tuple[str, str]) -> Denoiser:
    """E[x0 | x_t] of Gaussian data."""
    return denoiser(kind, lambda x, a, s: a * STD**2 / (a**2 * STD**2 + s**2) * x)


def jumping(kind: tuple[str, str]) -> Denoiser:
    """Whose x0 is where the ODE from x_t ends: its consistency function, which is linear."""
    return denoiser(kind, lambda x, a, s: STD / (a**2 * STD**2 + s**2).sqrt() * x)


def networks(student: Denoiser, teacher: Denoiser) -> Networks:
    return Networks(student, student, teacher)


class Options:
    teacher_steps, first_steps, last_steps = 200, 8, 2


@pytest.mark.parametrize("kind", [FLOW, VP])
def test_the_ode_of_a_gaussian_ends_where_its_consistency_function_says(kind):
    made = exact(kind)
    start, end = (made.schedule.at(torch.tensor([place])) for place in (1.0, 0.0))
    deviation = [(a**2 * STD**2 + s**2).sqrt() for a, s in (made.scales(t, EPS) for t in (start, end))]
    assert torch.allclose(made.solve(EPS, {}, 1000), deviation[1] / deviation[0] * EPS, atol=0.01)
    jumped = jumping(kind).jump(EPS, {}, 1, torch.Generator())
    assert torch.allclose(jumped, STD / deviation[0] * EPS, atol=1e-5)


@pytest.mark.parametrize("kind", [FLOW, VP])
def test_the_consistency_loss_is_least_at_the_consistency_function(kind):
    batch, method = Batch(X0, EPS, U), methods.get("consistency")
    right = method.error(networks(jumping(kind), exact(kind)), batch, Options, 0).mean()
    wrong = method.error(networks(exact(kind), exact(kind)), batch, Options, 0).mean()
    assert float(right) < 1e-4
    assert float(wrong) > 3 * float(right)


def test_the_first_step_of_consistency_is_anchored_at_the_data():
    flow, vp = schedules.get("flow")(), schedules.get("scaled_linear")()
    x = torch.randn(4, 2)
    assert torch.equal(jumping(FLOW).consistency(x, torch.zeros(4), {}).float(), x)
    assert [float(c) for c in vp.boundary(torch.tensor([0]))[0]] == [1.0]
    stock = LCMScheduler()
    skip, out = stock.get_scalings_for_boundary_condition_discrete(259)
    mine = vp.boundary(torch.tensor([259]))
    assert (float(mine[0][0]), float(mine[1][0])) == pytest.approx((float(skip), float(out)), abs=1e-6)
    assert flow.at(torch.tensor([0.0, 0.25, 1.0])).tolist() == [0.0, 250.0, 1000.0]


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_steps_are_the_trailing_ones_of_ddim(steps):
    stock = DDIMScheduler(timestep_spacing="trailing", prediction_type="v_prediction", clip_sample=False,
                          set_alpha_to_one=False, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)  # fmt: skip
    stock.set_timesteps(steps)
    teacher, x = exact(VP), EPS
    for t in stock.timesteps:
        x = stock.step(teacher.network(x, t.expand(64), {}), t, x).prev_sample
    assert torch.allclose(teacher.solve(EPS, {}, steps), x, atol=1e-5)


@pytest.mark.parametrize("kind", [FLOW, VP])
def test_one_step_of_a_progressive_student_is_two_of_its_teacher(kind):
    """Of a Gaussian two steps are a linear map, and x0 of one step that does the same follows from it."""
    teacher, n = exact(kind), Options.first_steps

    def student_x0(x, alpha, sigma):
        t = teacher.schedule.at((torch.floor(U * n) + 1) / n)
        middle, s = teacher.schedule.at((torch.floor(U * n) + 0.5) / n), teacher.schedule.at(torch.floor(U * n) / n)
        scales = [[v.double().view(-1, 1) for v in teacher.schedule.alpha_sigma(time)] for time in (t, middle, s)]
        factor = torch.ones(64, 1, dtype=torch.float64)
        for (a, sd), (a_next, sd_next) in pairwise(scales):
            k = a * STD**2 / (a**2 * STD**2 + sd**2)
            factor = factor * (a_next * k + sd_next / sd * (1 - a * k))
        (a, sd), (a_s, sd_s) = scales[0], scales[2]
        return (factor - sd_s / sd) / (a_s - sd_s / sd * a) * x

    batch, method = Batch(X0, EPS, U), methods.get("progressive")
    assert float(method.error(networks(denoiser(kind, student_x0), teacher), batch, Options, 0).max()) < 1e-6
    assert float(method.error(networks(teacher, teacher), batch, Options, 0).mean()) > 1e-4
    assert method.stages(Options) == 3


def test_paths_of_pairs_are_straight():
    """Rectified from x0 = STD eps, a Gaussian's flow is straight; of independent noise and data it is not."""
    straight = denoiser(FLOW, lambda x, a, s: STD / (a * STD + s) * x)
    assert straight.straightness(EPS, {}) < 1e-8
    assert exact(FLOW).straightness(EPS, {}) > 0.05
    pairs = Batch(STD * EPS, EPS, U.double())
    assert float(methods.get("reflow").error(networks(straight, straight), pairs, Options, 0).max()) < 1e-10


def test_the_teacher_is_guided_by_each_scale():
    class Two(Student):
        teacher, copied = None, False

        def call(self, module, x, t, given):
            assert "w" not in given
            return given["label"][:, None].double().expand(-1, 2)

        def without(self, given):
            return {**given, "label": torch.zeros(3)}

    given = {"label": torch.tensor([1.0, 2.0, 3.0]), "w": torch.tensor([1.0, 2.5, 4.0])}
    assert Two().guided(torch.zeros(3, 2), torch.zeros(3), given)[:, 0].tolist() == [1.0, 5.0, 12.0]


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (
        ("flow", {}),
        ("moons", {"density": "two_moons", "classes": True, "objective": "v", "schedule": "linear"}),
    ):
        task = {"kind": "density", "hidden": 32, "layers": 2, "sample_steps": 3, **more}
        optimizer = {"learning_rate": 0.01, "warmup": 1}
        list(Trainer(config(task, steps=200, batch=128, optimizer=optimizer), folder / name).run())
    return folder


def student(method: str, teacher: str = "flow", **task):
    steps = {"teacher_steps": 16, "pairs": 2000, "first_steps": 8, "last_steps": 2, "compared": [1, 2]}
    optimizer = {"name": "adamw", "learning_rate": 0.005, "warmup": 1}
    values = {"kind": "density_student", "teacher": teacher, "method": method, **steps, **task}
    return config(values, steps=60, batch=128, sample_every=20, optimizer=optimizer)


@pytest.mark.parametrize("method", methods.names())
def test_every_method_learns_points_and_resumes_bit_equal(method, teachers):
    guided = {"teacher": "moons", "guidance": [1.0, 3.0]} if method == "lcm" else {}
    made, whole, parts = student(method, **guided), teachers / f"{method}-whole", teachers / f"{method}-parts"
    list(Trainer(made, whole).run())
    stopped = Trainer(made, parts)
    for report in stopped.run():
        if report.step == 30:
            stopped.stop()
    list(Trainer(made, parts, resume=True).run())
    assert trace(parts) == trace(whole)
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    last = [line["figures"] for line in lines if "sliced_wasserstein_1" in line["figures"]][-1]
    assert last["sliced_wasserstein_1"] < last["sliced_wasserstein_1_teacher"]
    assert ("straightness" in last) == (method in ("reflow", "progressive"))
    with safe_open(whole / "model" / "density.safetensors", "pt") as file:
        settings = json.loads(file.metadata()["unnoise"])
        assert (settings["method"], settings["step"]) == (method, 60)
        assert {"mlp.out.weight", "teacher.out.weight"} <= set(file.keys())


def test_reflow_makes_the_paths_straighter(teachers):
    trainer = Trainer(student("reflow"), teachers / "straight")
    before = trainer.learner.evaluate()["straightness"]
    list(trainer.run())
    assert trainer.learner.evaluate()["straightness"] < 0.3 * before


def test_reflow_learns_the_paths_without_a_class_too(teachers):
    def straightness() -> float:
        with torch.no_grad():
            return learner.networks.student.straightness(learner.noise, given)

    trainer = Trainer(student("reflow", "moons"), teachers / "classless")
    learner = trainer.learner
    assert 0.05 < (learner.pairs["label"] == learner.density.classes).double().mean() < 0.2
    given = {"label": torch.full_like(learner.shown["label"], learner.density.classes), "w": learner.shown["w"]}
    before = straightness()
    list(trainer.run())
    assert straightness() < 0.5 * before


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"teacher": "nobody"}, "no ended run, and no recipe, called 'nobody'"),
        ({"teacher": "flow", "guidance": [2, 2]}, "without classes"),
        ({"teacher": "flow", "guidance": [1, 4]}, "one guidance scale"),
        ({"teacher": "flow", "guidance": [4, 1]}, "from at least 1"),
        ({"teacher": "flow", "first_steps": 12, "last_steps": 2}, "halving"),
    ],
)
def test_what_cannot_be_distilled_is_refused_beforehand(task, message, teachers):
    with pytest.raises(InvalidRequest, match=message):
        Trainer(student("consistency", **task), teachers / "refused")


def test_a_teacher_of_a_recipe_is_trained_once(teachers, monkeypatch):
    from studio.training.distillation import teachers as module

    recipe = parse({**student("reflow").model_dump(mode="json"), "task": {"kind": "density", "hidden": 8, "layers": 1}})
    (teachers / "small.yaml").write_text(replace_steps(recipe).to_yaml())
    monkeypatch.setattr(module, "RECIPES", teachers)
    task, weights = module.point_teacher("small", teachers)
    assert (task.hidden, weights["out.weight"].shape) == (8, (2, 8))
    monkeypatch.setattr(
        module, "load", lambda path: pytest.fail("trained again") if path.name == "x" else parse_file(path)
    )
    again = module.point_teacher("small", teachers)[1]
    assert torch.equal(again["out.weight"], weights["out.weight"])


def replace_steps(recipe):
    return recipe.model_copy(update={"steps": 3})


def parse_file(path):
    from studio.training.config import load

    return load(path)


@pytest.mark.parametrize(
    "method", one_in(3, ["lcm", "reflow", "progressive", "consistency", "easy_consistency_tuning"])
)
def test_a_student_of_a_pipeline_is_a_stock_pipeline(method, tmp_path, monkeypatch):
    monkeypatch.setattr("studio.training.rows.CHUNK", 16)  # pictures that are made at once
    base = stable_diffusion(tmp_path / "base", vae="kl", prediction="v_prediction")
    guidance = [2.0, 4.0] if method == "lcm" else [2.0, 2.0]
    task = {"kind": "student", "base": str(base), "method": method, "guidance": guidance, "teacher_steps": 10,
            "pictures": 16, "captions": 1, "first_steps": 4, "sample_prompts": ["a star"], "compared": [1, 2]}  # fmt: skip
    made = config(task, steps=4, batch=2, sample_every=4, data={"size": 32}, optimizer={"warmup": 1})
    list(Trainer(made, tmp_path / "runs" / "whole").run())
    stopped = Trainer(made, tmp_path / "runs" / "parts")
    for report in stopped.run():
        if report.step == 2:
            stopped.stop()
    list(Trainer(made, tmp_path / "runs" / "parts", resume=True).run())
    assert trace(tmp_path / "runs" / "parts") == trace(tmp_path / "runs" / "whole")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "runs" / "whole" / "model")
    pipeline.set_progress_bar_config(disable=True)
    assert (pipeline.unet.config.time_cond_proj_dim is not None) == (method == "lcm")
    assert type(pipeline.scheduler).__name__ == methods.get(method).scheduler
    pictures = [pipeline("a star", num_inference_steps=2, guidance_scale=g, output_type="np",
                         generator=torch.Generator().manual_seed(0)).images for g in (2.0, 4.0)]  # fmt: skip
    assert math.isfinite(float(pictures[0].mean()))
    assert (pictures[0] != pictures[1]).any()
