"""A run can be stopped anywhere and goes on exactly; what it exports is what diffusers loads."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import PixArtAlphaPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from transformers import CLIPTokenizer

from studio.core.errors import InvalidRequest, ModelError
from studio.training import trainer as trainer_module
from studio.training.config import parse
from studio.training.export import ship
from studio.training.trainer import Checkpoint, Metrics, Sample, Trainer
from tests.sweeps import one_in
from tests.training.conftest import AUTOENCODER, TEXT, config


def trace(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["figures"] for line in lines]


@pytest.mark.parametrize("backbone", one_in(3, ["pixart", "unet2d_condition", "sd3"]))
def test_a_resumed_run_is_bit_equal_to_one_that_never_stopped(diffusion, backbone, tmp_path):
    whole = list(Trainer(diffusion(backbone, steps=6), tmp_path / "whole").run())
    assert isinstance(whole[-1], Checkpoint)
    assert whole[-1].final
    stopped = Trainer(diffusion(backbone, steps=6), tmp_path / "parts")
    for report in stopped.run():
        if isinstance(report, Metrics) and report.step == 3:
            stopped.stop()
    assert isinstance(report, Checkpoint)
    assert not report.final
    list(Trainer(diffusion(backbone, steps=6), tmp_path / "parts", resume=True).run())
    assert trace(tmp_path / "parts") == trace(tmp_path / "whole")
    first, second = (
        torch.load(tmp_path / name / "checkpoints" / "step-00000006.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    for module, weights in first["modules"].items():
        for name, value in weights.items():
            assert torch.equal(value, second["modules"][module][name]), name


@pytest.mark.parametrize("backbone", one_in(2, ["unet2d_condition", "pixart"]))
def test_a_run_whose_latents_are_read_is_bit_equal_to_the_one_that_made_them(diffusion, backbone, tmp_path):
    runs = [Trainer(diffusion(backbone), tmp_path / name) for name in ("cold", "warm")]
    for run in runs:  # one after the other: the second finds the first one's latents
        list(run.run())
    cold, warm = (run.learner.cache for run in runs)
    assert cold.folder == warm.folder
    for made, read in zip(cold.chunks, warm.chunks, strict=True):
        assert made.flags.c_contiguous
        assert made.strides == read.strides
        assert np.array_equal(made, read)
    assert trace(tmp_path / "cold") == trace(tmp_path / "warm")
    assert all(torch.equal(a, b) for a, b in zip(runs[0].trained, runs[1].trained, strict=True))


def test_a_batch_reaches_the_loss_in_one_layout_however_it_was_made():
    x = torch.arange(96.0).reshape(2, 3, 4, 4)
    for made in (x, x.to(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3)):
        placed = trainer_module.on_device({"x": made}, torch.device("cpu"))["x"]
        assert placed.stride() == x.stride()
        assert torch.equal(placed, x)


@pytest.mark.parametrize("task", one_in(2, [AUTOENCODER, TEXT]), ids=["autoencoder", "text"])
def test_the_other_tasks_resume_bit_equal_too(task, tmp_path):
    list(Trainer(config(task), tmp_path / "whole").run())
    stopped = Trainer(config(task), tmp_path / "parts")
    next(stopped.run())
    stopped._save(final=False)
    list(Trainer(config(task), tmp_path / "parts", resume=True).run())
    assert trace(tmp_path / "parts") == trace(tmp_path / "whole")


def test_the_latents_do_not_depend_on_who_made_them(diffusion, tmp_path):
    first, second = (Trainer(diffusion(), tmp_path / name / "run").learner for name in "ab")
    a, b = first.batch(3), second.batch(3)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert first.cache.folder != second.cache.folder
    assert a["x0"].std() == pytest.approx(1, abs=0.2)


def test_a_used_folder_is_not_overwritten_and_another_recipe_is_not_resumed(diffusion, tmp_path):
    list(Trainer(diffusion(steps=1), tmp_path / "run").run())
    with pytest.raises(InvalidRequest, match="in use"):
        Trainer(diffusion(steps=1), tmp_path / "run")
    with pytest.raises(InvalidRequest, match="batch"):
        Trainer(diffusion(steps=2, batch=2), tmp_path / "run", resume=True)
    assert Trainer(diffusion(steps=2), tmp_path / "run", resume=True).step == 1


def test_missing_parts_are_named(diffusion, tmp_path):
    with pytest.raises(ModelError, match="train them first"):
        Trainer(diffusion(task={"text": str(tmp_path / "none")}), tmp_path / "run")


def test_samples_come_from_the_stock_pipeline_and_the_export_loads_without_us(diffusion, tmp_path):
    prompts = ["a red circle, plain white background", "a blue star, night"]
    for backbone, pipeline in (("unet2d_condition", StableDiffusionPipeline), ("pixart", PixArtAlphaPipeline)):
        made = diffusion(backbone, {"sample_prompts": prompts}, steps=2, sample_every=2)
        reports = list(Trainer(made, tmp_path / backbone).run())
        sample = next(r for r in reports if isinstance(r, Sample))
        assert (tmp_path / backbone / "samples").is_dir()
        assert sample.step == 2
        loaded = pipeline.from_pretrained(tmp_path / backbone / "model")
        loaded.set_progress_bar_config(disable=True)
        options = {"use_resolution_binning": False} if backbone == "pixart" else {}
        image = loaded(prompts[0], num_inference_steps=2, generator=torch.Generator().manual_seed(0), **options)
        assert image.images[0].size == (64, 64)
        assert np.asarray(image.images[0]).std() > 0
    sibling = StableDiffusionImg2ImgPipeline.from_pretrained(tmp_path / "unet2d_condition" / "model")
    sibling.set_progress_bar_config(disable=True)
    assert sibling(prompts[0], image=image.images[0], num_inference_steps=4, strength=0.5).images[0].size == (64, 64)


def test_batches_are_made_in_order_and_their_errors_reach_the_caller():
    def make(step):
        if step == 3:
            raise ValueError("step 3")
        return step

    with trainer_module.prefetched(make, 0, 10) as take:
        assert [take(), take(), take()] == [0, 1, 2]
        with pytest.raises(ValueError, match="step 3"):
            take()


@pytest.mark.sweep  # test_runs.py pauses a run in the same way
def test_sigterm_writes_a_checkpoint_and_exits_in_order(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(config(AUTOENCODER, steps=100_000).to_yaml())
    command = [sys.executable, "-m", "studio.training.cli", str(recipe), "--run", str(tmp_path / "run"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [line["kind"] for line in lines] == ["metrics", "metrics"]
    os.kill(process.pid, signal.SIGTERM)
    last = json.loads(process.stdout.read().splitlines()[-1])
    assert process.wait() == 0
    assert last["kind"] == "checkpoint"
    assert not last["final"]
    resumed = Trainer(config(AUTOENCODER, steps=100_000), tmp_path / "run", resume=True)
    assert resumed.step == last["step"]


def test_the_command_prints_the_resolved_recipe_and_refuses_in_one_sentence(tmp_path, capsys):
    from studio.training.cli import main

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(config(AUTOENCODER).to_yaml())
    assert main([str(recipe), "--dry-run", "--json", "--set", "optimizer.decay=0.5", "--set", "steps=9"]) == 0
    resolved = parse(json.loads(capsys.readouterr().out))
    assert (resolved.optimizer.decay, resolved.steps) == (0.5, 9)
    assert main([str(recipe), "--set", "steps"]) == 2
    assert main([str(recipe), "--set", "steps=none"]) == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 2


def test_shipping_makes_half_precision_whole_or_not_at_all(diffusion, parts, tmp_path):
    list(Trainer(diffusion(steps=1), tmp_path / "run").run())
    target = tmp_path / "shipped"
    ship(tmp_path / "run" / "model", target, parts / "autoencoder", {"title": "Tiny"})
    loaded = PixArtAlphaPipeline.from_pretrained(target, dtype=torch.float16)
    assert loaded.transformer.dtype == torch.float16
    assert json.loads((target / "unnoise.json").read_text()) == {"title": "Tiny"}
    assert str(tmp_path) not in (target / "model_index.json").read_text()
    spelled = CLIPTokenizer(
        vocab=str(target / "tokenizer" / "vocab.json"), merges=str(target / "tokenizer" / "merges.txt")
    )
    assert spelled("a red heart").input_ids == loaded.tokenizer("a red heart").input_ids
    list(Trainer(config(AUTOENCODER, steps=1, seed=99), tmp_path / "other").run())
    with pytest.raises(ModelError, match="another autoencoder"):
        ship(tmp_path / "run" / "model", tmp_path / "wrong", tmp_path / "other" / "model")
    with pytest.raises(ModelError, match="no trained model"):
        ship(tmp_path / "none", tmp_path / "wrong")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["latents", "other", "run", "shipped"]
