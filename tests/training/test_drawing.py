"""Pictures are the same whoever draws them, and a run that is shortened ends as a short one does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import InvalidRequest
from studio.training.backbones.sd3 import _fused, _plain
from studio.training.config import DataConfig, load
from studio.training.drawing import BLOCK, Ahead, Pictures, first_pictures
from studio.training.optim import rate_at
from studio.training.trainer import Metrics, Trainer

DATA = DataConfig(size=32)


def test_workers_draw_what_this_process_draws_and_nothing_past_the_end() -> None:
    here, ahead = Pictures(DATA, captions=3), Ahead(Pictures(DATA, captions=3), workers=1)
    try:
        for number in (0, 1, 3):
            pictures, captions = ahead(number, end=4)
            assert np.array_equal(pictures, here(number)[0])
            assert captions == here(number)[1]
            assert len(captions) == BLOCK and all(len(texts) == 3 for texts in captions)
        assert not ahead._waiting
    finally:
        ahead.close()
    pictures, captions = first_pictures(DATA, 40, workers=0)
    assert pictures.shape == (40, 32, 32, 3) and captions[:BLOCK] == [texts[0] for texts in here(0)[1]]


def test_a_run_is_shortened_while_it_runs_and_its_rate_falls_to_the_new_end(diffusion, tmp_path: Path) -> None:
    trainer = Trainer(diffusion(steps=50), tmp_path / "run")
    reports = []
    for report in trainer.run():
        reports.append(report)
        if isinstance(report, Metrics) and report.step == 2:
            trainer.end_at(5)
    rates = [report.rate for report in reports if isinstance(report, Metrics)]
    assert len(rates) == 5 and rates[-1] == rate_at(4, 5, trainer.config.optimizer)
    assert reports[-1].final and load(tmp_path / "run" / "config.yaml").steps == 5
    with pytest.raises(InvalidRequest, match="began with 50 steps"):
        trainer.end_at(51)


def test_fused_attention_computes_what_the_plain_one_does() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, 7, 16, generator=generator) for _ in range(3))
    weights = torch.randn(2, 1, 1, 7, generator=generator)
    torch.testing.assert_close(_fused(q, k, v, weights), _plain(q, k, v, weights))


@pytest.mark.parametrize("name", ["autoencoder", "text", "mmdit"])
def test_the_recipes_for_a_gpu_are_whole(name: str, root: Path) -> None:
    recipe = load(root / "presets" / "training" / f"emoji-{name}-256.yaml")
    assert recipe.device == "cuda" and recipe.workers and recipe.data.size == 256 and recipe.about.makes
