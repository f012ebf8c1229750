"""A race as it runs: evaluations counted at the denoiser, one noise for all, errors that fall as the solver's order says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.__main__ import main
from studio.core.race import Race
from studio.core.race_plan import plan
from studio.core.request import GenerationRequest
from studio.core.samplers import evaluations_of, steps_within
from studio.engine.generate import Piece, Watch, sample
from studio.engine.race import Measuring
from studio.engine.samplers import build_scheduler
from studio.engine.tap import TapStep
from tests.engine import analytic
from tests.engine.conftest import Studio
from tests.models.tiny_models import stable_diffusion
from tests.sweeps import shares

COUNTED = ("heun", "dpm2", "dpmpp_2m", "unipc", "lms", "pndm", "dpmpp_sde", "dpmpp_2s", "dpmpp_2s_a", "dpm2_a", "ddim")


@pytest.mark.parametrize("share", shares(3))
def test_evaluations_are_counted_at_the_denoiser_and_all_start_from_one_noise(studio: Studio, share: int) -> None:
    starts: list[torch.Tensor] = []

    def first(step: TapStep) -> None:
        if step.index == 0:
            starts.append((step.x_t * step.scale).double())

    for sampler in COUNTED[share::3]:
        request = studio.request("sd1", sampler=sampler, steps=5, width=64, height=64)
        measuring, calls = Measuring(first), list[torch.Tensor]()
        with studio.loaded("sd1") as loaded:
            hook = loaded.components["unet"].register_forward_hook(lambda _, __, made, calls=calls: calls.append(made))
            list(sample(request, loaded, Piece((0,)), Watch((measuring,))))
            hook.remove()
        expected = evaluations_of(sampler, 5, studio.info("sd1").capabilities.runge_kutta)
        assert measuring.evaluations == len(calls) == expected, sampler
        assert measuring.latents is not None
    # Those of the variance-exploding frame start at sigma * noise, not sqrt(1 + sigma^2) * noise.
    assert all(torch.allclose(start, starts[0], rtol=1e-2, atol=1e-2) for start in starts)


def end_of(sampler: str, spacing: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    config = analytic.config_for("epsilon")
    start, end = analytic.sample(build_scheduler(config, sampler, spacing, steps), steps, "epsilon")
    return start.double().numpy(), end.double().numpy()


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.sqrt(np.square(ours - theirs).mean() / np.square(theirs).mean()))


def test_the_reference_is_the_exact_solution_and_errors_fall_as_the_order_says(studio: Studio) -> None:
    reference = plan(Race(request=GenerationRequest(model="sd1")), studio.info("sd1"), studio.models).reference
    assert reference is not None
    start, solution = end_of(reference.sampler, reference.spacing, reference.steps)
    alpha, sigma = analytic.level_at(999, "epsilon")
    exact = (start - alpha * analytic.MEAN) / math.hypot(alpha * analytic.STD, sigma)
    lowest = analytic.training_levels()[0]  # from there every sampler takes the denoiser's own answer
    shrunk = analytic.STD**2 / math.hypot(analytic.STD, lowest)
    assert relative(solution, analytic.MEAN + shrunk * exact) < 1e-5
    for sampler, order in (("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)):
        spacing = "trailing" if sampler == "ddim" else "karras"
        few, many = (relative(end_of(sampler, spacing, steps_within(sampler, n))[1], solution) for n in (15, 60))
        assert math.log(few / many, 4) == pytest.approx(order, abs=0.6), sampler


def test_the_command_prints_errors_against_evaluations_and_keeps_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stable_diffusion(tmp_path / "models" / "tiny")
    folders = ["--only-models", str(tmp_path / "models"), "--outputs", str(tmp_path / "out")]
    asked = ["race", "a red heart", "--evaluations", "2,5", "--reference-steps", "12", "--size", "64x64", *folders]
    assert main([*asked, "--samplers", "euler,heun,euler_a", "--spacings", "karras", "--json", "--device", "cpu"]) == 0
    made = json.loads(capsys.readouterr().out)
    legs = {(made["lanes"][leg["lane"]]["sampler"], leg["budget"]): leg for leg in made["results"]["legs"]}
    assert {key: leg["evaluations"] for key, leg in legs.items()} == {
        ("euler", 2): 2, ("euler", 5): 5, ("heun", 2): 1, ("heun", 5): 5, ("euler_a", 2): 2, ("euler_a", 5): 5,
    }  # fmt: skip
    assert all((leg["error"] is None) == (sampler == "euler_a") for (sampler, _), leg in legs.items())
    assert 0 < legs["euler", 5]["error"] < legs["euler", 2]["error"]
    assert set(made["verdicts"]) == {"2", "5"} and "no error can be measured" in made["note"]
    assert made["results"]["reference"] == {
        "sampler": "dpmpp_2m", "spacing": "karras", "title": "DPM++ 2M Karras", "steps": 12, "evaluations": 12, "kept": False,
    }  # fmt: skip
    folder = tmp_path / "out" / ".unnoise" / "races" / made["id"]
    assert all((folder / f"{leg['picture']}.png").is_file() for leg in legs.values())

    assert main([*asked, "--samplers", "dpmpp_2m", "--json", "--device", "cpu"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["results"]["reference"]["kept"] and again["results"]["legs"][0]["error"] > 0
