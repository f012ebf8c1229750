"""The shipped probe says the right things of true pictures, clean and spoiled, at any size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.errors import ModelError
from studio.evaluation.adherence import score
from studio.evaluation.probe import UNCLEAR, Probe, ProbeNet, ProbeSpec
from studio.training.datasets.tinyworld import Ground, TinyWorld, held_out_renders, vocabulary
from studio.training.datasets.tinyworld.grounds import paint_ground
from studio.training.probe import ProbeConfig, read_config, ruin, spoil, train

GROUNDS = vocabulary.PATTERNS + vocabulary.SCENES
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models" / "starter" / "probe"


@pytest.fixture(scope="module")
def probe():
    return Probe.load(FOLDER)


@pytest.mark.parametrize("kind", ["one", "two"])
def test_it_is_right_about_fresh_held_out_renders(probe, kind):
    rates = score(*held_out_renders(kind, 80, seed=5), probe).rates()
    assert min(rates.values()) >= 0.97


def test_it_is_right_about_renders_spoiled_as_a_decoder_would(probe):
    images, prompts = held_out_renders("one", 80, seed=6)
    rng = np.random.default_rng(0)
    rates = score([spoil(image, rng) for image in images], prompts, probe).rates()
    assert rates["all_right"] >= 0.92


def test_it_says_no_to_pictures_of_other_prompts(probe):
    images, prompts = held_out_renders("one", 60, seed=7)
    rates = score(images[1:] + images[:1], prompts, probe).rates()
    assert rates["all_right"] <= 0.02


def test_it_does_not_call_a_ruined_shape_by_name(probe):
    images, prompts = held_out_renders("one", 80, seed=9)
    rng = np.random.default_rng(0)
    rates = score([ruin(image, rng) for image in images], prompts, probe).rates()
    assert rates["objects"] <= 0.15


def test_it_names_nothing_on_noise_or_a_bare_ground(probe):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)
    grounds = [paint_ground(Ground(kind, "green" if kind in vocabulary.PATTERNS else None), 128) for kind in GROUNDS]
    named = [[o.kind for o in found.objects if o.kind != UNCLEAR] for found in probe.look([noise, *grounds])]
    assert named == [[]] * (1 + len(GROUNDS))


def test_larger_pictures_are_judged_as_well(probe):
    images, prompts = held_out_renders("one", 24, seed=8, size=256)
    assert score(images, prompts, probe).rates()["all_right"] >= 0.95


def test_it_knows_the_words_of_the_world_and_ships_its_own_accuracy_in_two_megabytes(probe):
    assert probe.spec.kinds == (*vocabulary.KINDS, UNCLEAR)
    assert probe.spec.colours == tuple(vocabulary.COLOURS)
    assert probe.spec.grounds == GROUNDS
    assert probe.spec.accuracy["one"]["all_right"] >= 0.97
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 2_000_000


def test_its_recipe_is_read(probe):
    config = read_config(ROOT / "presets" / "training" / "starter-probe.yaml")
    assert (config.size, config.channels) == (probe.spec.size, probe.spec.channels)


def test_a_folder_without_a_probe_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="no probe"):
        Probe.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="does not hold a probe"):
        Probe.load(tmp_path)


def test_saving_and_loading_give_the_same_findings(tmp_path):
    torch.manual_seed(0)
    spec = ProbeSpec(("heart",), ("red", "blue"), ("plain",), size=32, channels=8)
    first = Probe(ProbeNet(spec))
    first.save(tmp_path)
    second = Probe.load(tmp_path)
    assert second.spec == spec
    pictures = [TinyWorld(32)[i].image for i in range(4)]
    assert [f.ground_colour for f in first.look(pictures)] == [f.ground_colour for f in second.look(pictures)]


def test_training_lowers_the_loss_and_writes_a_probe_that_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("studio.training.probe.MEASURED", 20)
    config = ProbeConfig(out=tmp_path / "probe", size=32, channels=8, steps=100, batch=8, lr=4e-3)
    rows = list(train(config))
    assert rows[1]["object"] < rows[0]["object"]
    assert rows[1]["ground_colour"] < rows[0]["ground_colour"]
    assert rows[-1]["step"] == 100
    assert 0 <= rows[-1]["one_all_right"] <= 1
    assert json.loads((tmp_path / "probe" / "config.json").read_text())["size"] == 32
    Probe.load(tmp_path / "probe")
