"""A training step on a CUDA device: bf16 autocast over fp32 weights, compiled blocks, checkpoints that go on."""

from pathlib import Path

import pytest
import torch

from studio.training.trainer import Metrics, Trainer
from tests.training.conftest import AUTOENCODER, config

pytestmark = pytest.mark.cuda


def test_an_autoencoder_trains_in_bf16_and_resumes(device: str, tmp_path: Path) -> None:
    recipe = config(AUTOENCODER, device=device, precision="bf16", save_every=2)
    stopped = Trainer(recipe, tmp_path / "run")
    for report in stopped.run():
        if isinstance(report, Metrics) and report.step == 2:
            stopped.stop()
    resumed = Trainer(recipe, tmp_path / "run", resume=True)
    assert resumed.step == 2
    [*_, last] = resumed.run()
    assert last.final
    assert {p.dtype for p in resumed.learner.modules()["autoencoder"].parameters()} == {torch.float32}


def test_the_flagships_denoiser_learns_with_compiled_blocks(card: str, diffusion, tmp_path: Path) -> None:
    values = {"device": card, "precision": "bf16", "compile": True, "steps": 30, "batch": 64}
    recipe = diffusion("sd3", {"objective": "flow", "schedule": "flow_logit_normal", "pictures": 256}, **values)
    losses = [
        report.figures["loss"] for report in Trainer(recipe, tmp_path / "run").run() if isinstance(report, Metrics)
    ]
    assert sum(losses[-5:]) < sum(losses[:5])
