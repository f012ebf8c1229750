"""A recipe is checked before anything loads, and says in one sentence what is wrong with it."""

from pathlib import Path

import pytest

from studio.core.errors import InvalidRequest, StorageError, UnknownName
from studio.training.config import load, parse
from studio.training.optim import rate_at

RECIPES = [path for path in sorted(Path("presets/training").glob("*.yaml")) if "probe" not in path.name]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_shipped_recipes_are_valid_and_survive_a_round_trip(path, tmp_path):
    config = load(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(config.to_yaml())
    assert load(copy) == config
    assert config.title and config.about.group and config.about.makes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 1.5),
        ("steps", float("nan")),
        ("seed", -1),
        ("batch", 0),
        ("precision", "int4"),
        ("optimizer.clip", 0),
        ("optimizer.learning_rate", -1),
        ("data.size", 100),
        ("task.kind", "prayer"),
        ("task.noise", -1),
        ("name", "../escape"),
        ("unheard_of", 1),
    ],
)
def test_bad_values_are_refused_by_name(name, value):
    data = {"name": "x", "task": {"kind": "autoencoder"}}
    with pytest.raises(InvalidRequest) as caught:
        parse(data, {name: value})
    assert name.split(".")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_broken_recipe_is_one_sentence(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(InvalidRequest, match="not valid YAML"):
        load(broken)
    broken.write_text("- 1")
    with pytest.raises(InvalidRequest, match="table"):
        load(broken)


def test_unknown_parts_list_the_legal_names(diffusion, tmp_path):
    from studio.training.trainer import Trainer

    for task, legal in (({"objective": "w"}, "epsilon"), ({"schedule": "w"}, "scaled_linear")):
        with pytest.raises(UnknownName, match=legal):
            Trainer(diffusion(task=task), tmp_path / legal)


def test_the_rate_warms_up_stays_and_decays_to_almost_nothing():
    options = parse({"name": "x", "task": {"kind": "autoencoder"}, "optimizer": {"warmup": 10, "decay": 0.2}}).optimizer
    rates = [rate_at(step, 100, options) for step in range(100)]
    assert rates[0] < 0.1
    assert rates[10:80] == [1.0] * 70
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert 0 < rates[-1] <= 0.05


def test_a_longer_run_goes_on_at_the_full_rate():
    options = parse({"name": "x", "task": {"kind": "autoencoder"}, "optimizer": {"decay": 0.2}}).optimizer
    assert rate_at(150, 1000, options) == 1.0 > rate_at(195, 200, options)
