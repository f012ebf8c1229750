"""Inpainting, ControlNet and LoRA trainings start from any Stable Diffusion, and their files open in stock pipelines."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DiffusionPipeline, StableDiffusionInpaintPipeline
from diffusers import StableDiffusionXLInpaintPipeline as XLInpaint
from safetensors import safe_open

from studio.core.errors import InvalidRequest, ModelError
from studio.manager.disk.catalog import Catalog
from studio.training.datasets.filters import filters
from studio.training.datasets.tinyworld import TinyWorld
from studio.training.export import ship
from studio.training.masks import masks
from studio.training.trainer import Trainer
from tests.models.tiny_models import stable_diffusion, stable_diffusion_xl
from tests.sweeps import by_default
from tests.training.conftest import config
from tests.training.test_trainer import trace

TASKS = {
    "inpainting": {"kind": "inpainting"},
    "controlnet": {"kind": "controlnet", "placeless": 1, "conditioning_channels": [4, 8, 8, 16]},
    "lora": {"kind": "lora", "rank": 2, "alpha": 2, "filter": "blueprint", "layers": ["to_q", "ff.net.2", "conv1"]},
}
BUILDERS = {"sd": lambda folder: stable_diffusion(folder, vae="kl"), "sdxl": stable_diffusion_xl}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {name: build(folder / name) for name, build in BUILDERS.items()}


def recipe(task: str, base: Path, steps: int = 4):
    values = {"pictures": 16, "captions": 1, "base": str(base), "sample_prompts": ["a red star"], "sample_steps": 2}
    channels = {"conditioning_channels": [4, 8]} if task == "controlnet" else {}
    optimizer = {"name": "muon", "warmup": 1, "learning_rate": 0.01}
    return config(
        {**values, **TASKS[task], **channels}, steps=steps, batch=2, sample_every=steps, data={"size": 32},
        optimizer=optimizer,
    )  # fmt: skip


# Each kind once, of the tasks two; a widened U-Net, as inpainting begins with, has a test of its own.
CASES = by_default([("controlnet", "sdxl"), ("lora", "sd")], [(task, kind) for task in TASKS for kind in BUILDERS])


@pytest.mark.parametrize(("task", "kind"), CASES)
def test_a_run_resumes_bit_equal_and_its_export_opens_in_a_stock_pipeline(task, kind, bases, tmp_path):
    made = recipe(task, bases[kind])
    list(Trainer(made, tmp_path / "whole").run())
    stopped = Trainer(made, tmp_path / "parts")
    reports = stopped.run()
    next(reports)
    next(reports)
    stopped._save(final=False)
    reports.close()
    list(Trainer(made, tmp_path / "parts", resume=True).run())
    assert trace(tmp_path / "parts") == trace(tmp_path / "whole")
    assert (tmp_path / "whole" / "samples" / "step-00000004.png").is_file()
    OPENED[task](tmp_path / "whole" / "model", bases[kind])


def opened_inpainting(model: Path, base: Path) -> None:
    cls = XLInpaint if (base / "text_encoder_2").is_dir() else StableDiffusionInpaintPipeline
    pipeline = cls.from_pretrained(model)
    assert pipeline.unet.config.in_channels == 9
    new = pipeline.unet.conv_in.weight[:, 4:]
    assert new.abs().max() > 0


def opened_controlnet(model: Path, base: Path) -> None:
    loaded = ControlNetModel.from_pretrained(model)
    assert loaded.controlnet_down_blocks[0].weight.abs().max() > 0


def opened_lora(model: Path, base: Path) -> None:
    file = model / "tiny.safetensors"
    with safe_open(file, "pt") as opened:
        said = opened.metadata()
        names = set(opened.keys())
    assert (said["ss_network_dim"], said["ss_network_module"]) == ("2", "networks.lora")
    assert sum(json.loads(said["ss_tag_frequency"])["1_tinyworld"].values()) >= 16
    assert all(name.startswith("lora_unet_") for name in names)
    pipeline = DiffusionPipeline.from_pretrained(base)
    before = {n: p.clone() for n, p in pipeline.unet.named_parameters()}
    pipeline.load_lora_weights(model, weight_name=file.name)
    factors = [n for n, _ in pipeline.unet.named_parameters() if "lora_A" in n]
    assert 3 * len(factors) == len(names)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    changed = [n for n, p in pipeline.unet.named_parameters() if not torch.equal(p, before[n])]
    assert len(changed) == len(factors)


OPENED = {"inpainting": opened_inpainting, "controlnet": opened_controlnet, "lora": opened_lora}


def test_a_widened_unet_makes_what_the_narrow_one_does_before_it_is_trained(bases, tmp_path):
    learner = Trainer(recipe("inpainting", bases["sd"]), tmp_path / "run").learner
    narrow = DiffusionPipeline.from_pretrained(bases["sd"]).unet
    batch = learner.batch(0)
    with torch.no_grad():
        wide = learner.predict(batch["eps"], batch["t"], batch)
        assert torch.allclose(wide, narrow(batch["eps"], batch["t"], batch["text"]).sample, atol=1e-5)


def test_bad_recipes_are_refused_in_a_sentence(bases, tmp_path):
    with pytest.raises(ModelError, match="none"):
        Trainer(recipe("lora", tmp_path / "none"), tmp_path / "run")
    for task, change in (("controlnet", {"control": "pose"}), ("inpainting", {"masks": {"cat": 1}})):
        made = recipe(task, bases["sd"])
        made = made.model_copy(update={"task": made.task.model_copy(update=change)})
        with pytest.raises(InvalidRequest, match=r"pose|cat"):
            Trainer(made, tmp_path / f"run-{task}")


@pytest.mark.parametrize("kind", masks.names())
def test_a_mask_covers_some_of_the_picture(kind):
    shares = [masks.get(kind)(np.random.default_rng(k), 64).mean() for k in range(20)]
    assert min(shares) > 0
    assert kind == "everything" or max(shares) < 1


def test_a_removed_object_is_not_in_the_picture_and_not_in_its_captions():
    data = TinyWorld(size=64, seed=3)
    for index in range(8):
        there, mask, captions = data.masked_object(index, "object", np.random.default_rng(index), 4)
        gone, same, left = data.masked_object(index, "removed", np.random.default_rng(index), 2)
        assert np.array_equal(mask, same)
        assert not np.array_equal(there[mask], gone[mask])
        assert np.array_equal(there[~mask], gone[~mask])
        assert all(len(text) < max(map(len, captions)) for text in left)


@pytest.mark.parametrize("name", filters.names())
def test_a_filter_keeps_size_and_repeats(name):
    picture = TinyWorld(size=64, seed=3)[0].image
    made = [filters.get(name)(picture, np.random.default_rng(1)) for _ in range(2)]
    assert np.array_equal(*made)
    assert made[0].shape == picture.shape
    assert name == "none" or not np.array_equal(made[0], picture)


def test_what_was_trained_is_shipped_small_and_with_its_card(bases, tmp_path):
    for task in ("controlnet", "lora"):
        list(Trainer(recipe(task, bases["sd"], steps=1), tmp_path / task).run())
        ship(tmp_path / task / "model", tmp_path / "shipped" / task, card={"title": task, "family": "sd1"})
    names = {str(p.relative_to(tmp_path / "shipped")) for p in (tmp_path / "shipped").rglob("*") if p.is_file()}
    weights = "controlnet/diffusion_pytorch_model"
    assert names == {
        "controlnet/config.json", f"{weights}.safetensors", f"{weights}.unnoise.json", "lora.safetensors", "lora.unnoise.json",
    }  # fmt: skip
    with safe_open(tmp_path / "shipped" / f"{weights}.safetensors", "pt") as opened:
        assert opened.get_tensor("conv_in.weight").dtype == torch.float16
    infos = {info.id: info for info in Catalog((tmp_path / "shipped",), None).models()}
    assert {i.family for i in infos.values()} == {"sd1"}
    assert {(i.kind, i.title, i.problem) for i in infos.values()} == {
        ("controlnet", "controlnet", None), ("lora", "lora", None),
    }  # fmt: skip
