"""`evaluate adherence` runs a stock pipeline on held-out prompts and writes what it found."""

import json
from pathlib import Path

import pytest

from studio.core.errors import InvalidRequest, ModelError, UnknownName
from studio.evaluation.probe import Probe
from studio.training.adherence import lines, main, measure, pipeline_generator
from studio.training.datasets.tinyworld import held_out_prompts, held_out_scenes, render
from tests.models.tiny_models import stable_diffusion

PROBE = Path(__file__).parents[2] / "models" / "starter" / "probe"


def test_each_picture_depends_on_its_own_seed_alone_whatever_the_batch(tmp_path):
    folder = stable_diffusion(tmp_path / "model")
    prompts = ["a red heart", "a blue star", "a red ring"]
    together = pipeline_generator(folder, steps=2, batch=3)(prompts, [4, 5, 6])
    alone = pipeline_generator(folder, steps=2, batch=1)(prompts, [4, 5, 6])
    assert len(together) == 3
    assert together[0].tobytes() != together[1].tobytes()
    for a, b in zip(together, alone, strict=True):
        difference = max(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True))
        assert difference <= 1


def test_a_model_that_draws_the_truth_scores_full_marks_and_one_that_swaps_it_none(tmp_path):
    probe = Probe.load(PROBE)
    scenes = held_out_scenes("one", 20, seed=0)
    drawn = [render(scene, 128) for scene in scenes]
    truth = measure(lambda prompts, seeds: drawn, probe, kinds=["one"], count=20, out=tmp_path, name="truth")
    assert truth["one"]["right"] >= 19
    assert json.loads((tmp_path / "adherence.json").read_text()) == truth
    assert (tmp_path / "adherence-one.png").stat().st_size > 10_000
    swapped = measure(lambda prompts, seeds: drawn[::-1], probe, kinds=["one"], count=20)
    assert swapped["one"]["right"] <= 1
    assert len(swapped["one"]["failures"]) >= 19
    assert any("probe on true pictures" in line for line in lines(swapped))
    assert held_out_prompts("one", 20)[0].text in {f["prompt"] for f in swapped["one"]["failures"]}


def test_the_command_prints_one_json_object(tmp_path, capsys):
    folder = stable_diffusion(tmp_path / "model")
    flags = ["--probe", str(PROBE), "--count", "2", "--steps", "1", "--objects", "one", "--json"]
    assert main([str(folder), *flags]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["one"]["prompts"] == 2
    assert 0 <= report["one"]["rates"]["all_right"] <= 1


def test_bad_input_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InvalidRequest, match="--count must be"):
        main([str(tmp_path), "--count", "0"])
    with pytest.raises(ModelError, match="no diffusers pipeline"):
        pipeline_generator(tmp_path)
    with pytest.raises(UnknownName, match="one, two, three"):
        measure(lambda prompts, seeds: [], Probe.load(PROBE), kinds=["many"])
