"""Every recipe of the zoo, shrunk to a few steps: it trains, its export opens in its stock pipeline, and it carries a card."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from scripts.zoo import RECIPES, recipes
from studio.manager.disk.catalog import Catalog
from studio.training import builtin  # noqa: F401  (fills the registries)
from studio.training.config import load
from studio.training.runs import Runs, held
from studio.training.trainer import Trainer
from tests.sweeps import one_in

SHRUNK = {
    "steps": 2,
    "batch": 2,
    "threads": 1,
    "log_every": 1,
    "sample_every": 2,
    "save_every": 2,
    "optimizer.warmup": 1,
}
STUDENT = {
    "task.teacher_steps": 4,
    "task.first_steps": 4,
    "task.compared": [2],
    "task.sample_prompts": ["a house, snow"],
}
MORE = {
    "ddpm": {"task.pictures": 16, "task.sample_steps": 2},
    "dit": {
        "task.model": {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1},
        "task.sample_steps": 2,
    },
    "sd3": {
        "task.model": {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2},
        "task.sample_prompts": [],
    },
    "sdxl": {"task.model.block_out_channels": [32, 32], "task.sample_prompts": []},
}
CALLS = {"ddpm": {"batch_size": 1}, "dit": {"class_labels": [3]}}
NAMES = [path.stem.removeprefix("zoo-") for path in recipes([])]


@pytest.mark.parametrize("name", one_in(4, NAMES))
def test_a_recipe_makes_a_stock_pipeline_with_a_card(name, tmp_path, monkeypatch):
    monkeypatch.setattr("studio.training.rows.CHUNK", 16)
    monkeypatch.setattr("studio.training.latents.CHUNK", 32)
    monkeypatch.setattr("studio.training.finetuning.FIRST_ROWS", 16)
    for module in ("classes", "diffusion"):
        monkeypatch.setattr(f"studio.training.{module}.FIRST_ROWS", 16)
    config = load(RECIPES / f"zoo-{name}.yaml", SHRUNK | MORE.get(name, STUDENT))
    runs = Runs(tmp_path / "runs", RECIPES, tmp_path / "models")
    with held(tmp_path / "runs" / name):
        list(Trainer(config, tmp_path / "runs" / name).run())
    assert runs.export(name) == f"trained/{name}"
    folder = tmp_path / "models" / "trained" / name
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(
        **CALLS.get(name, {"prompt": "a house, snow"}),
        num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    assert pictures.std() > 0.001
    card = json.loads((folder / "unnoise.json").read_text())
    assert card["title"] == config.title
    assert all(text in card["description"] for text in (config.about.makes, config.about.paper, "2 steps"))
    listed = next(info for info in Catalog((tmp_path / "models",), None).models() if info.id == f"trained/{name}")
    assert listed.problem is None
    assert config.about.defaults.items() <= listed.defaults.model_dump().items()


def test_a_recipe_is_found_by_its_name():
    assert recipes(["lcm"]) == recipes(["zoo-lcm"]) == [Path(RECIPES / "zoo-lcm.yaml")]
    with pytest.raises(ValueError, match="no 'cats' in the zoo; choose of"):
        recipes(["cats"])
