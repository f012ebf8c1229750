"""Precision is measured once and kept; replay says bit-identical or names what differs."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402

from studio.core.errors import InvalidRequest, UnknownName  # noqa: E402
from studio.engine import precision  # noqa: E402
from studio.engine.generate import memory_format  # noqa: E402
from studio.engine.replay import replay  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from tests.engine.conftest import KINDS, Studio  # noqa: E402
from tests.sweeps import one_in  # noqa: E402


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has instructions for bf16, as far as the choice goes."""
    monkeypatch.setattr(precision, "has_bf16", lambda: True)


def test_a_named_precision_is_taken_as_named(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "gain_of", lambda dtype: 1.0)
    for name in ("fp32", "bf16", "fp16"):
        assert precision.choose(name, studio.info("sd1"), studio.manager) == precision.Precision(name)


def test_who_names_a_slow_precision_is_told_what_it_costs(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(precision, "gain_of", lambda dtype: {"bf16": 0.125, "fp16": 0.9}[dtype])
    for name in ("fp32", "bf16", "fp16"):
        precision.choose(name, studio.info("sd1"), studio.manager, report=lambda what, fraction: said.append(what))
    assert said == ["bf16 takes about 8 times as long as fp32 on this processor"]


def test_auto_never_takes_bf16_on_a_processor_without_it(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, manager = studio.info("sd1"), studio.manager
    monkeypatch.setattr(precision, "has_bf16", lambda: True)
    monkeypatch.setattr(precision, "measure", lambda loaded: precision.Precision("bf16", True, 9.0))
    assert precision.choose("auto", info, manager, tmp_path).dtype == "bf16"  # and kept
    monkeypatch.setattr(precision, "has_bf16", lambda: False)
    monkeypatch.setattr(precision, "gain_of", lambda dtype: 9.0)
    assert precision.choose("auto", info, manager, tmp_path) == precision.FULL
    assert precision.first_dtype("auto", info, manager, tmp_path) == "fp32"


def test_a_processor_is_asked_for_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, expected in (({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda table=table: table)
        assert precision.has_bf16() is expected


@pytest.mark.parametrize("name", KINDS)
def test_the_denoisers_own_arguments_are_caught(studio: Studio, name: str) -> None:
    with studio.loaded(name) as loaded:
        args, kwargs = precision.first_call(loaded)
        assert not loaded.components[loaded.family.denoiser]._forward_pre_hooks
        with torch.no_grad():
            output = loaded.components[loaded.family.denoiser](*args, **kwargs)
    assert torch.isfinite(output[0] if isinstance(output, tuple) else output.sample).all()


@pytest.mark.usefixtures("bf16")
def test_auto_is_measured_once_and_kept(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = precision.choose("auto", studio.info("sd1"), studio.manager, tmp_path)
    assert first.gain is not None and first.dtype == ("bf16" if first.gain >= precision.WORTH_IT else "fp32")
    assert len(list(tmp_path.glob("*.json"))) == 1

    def not_again(loaded: object) -> None:
        raise AssertionError("measured twice")

    monkeypatch.setattr(precision, "measure", not_again)
    assert precision.choose("auto", studio.info("sd1"), studio.manager, tmp_path) == first


@pytest.mark.parametrize("name", one_in(2, reversed(KINDS)))
def test_it_is_measured_from_either_precision(studio: Studio, name: str) -> None:
    for dtype in ("fp32", "bf16"):
        with studio.manager.lease(studio.info(name), dtype, channels_last=dtype == "bf16") as loaded:
            found = precision.measure(loaded)
            assert loaded.components[loaded.family.denoiser].dtype is loaded.dtype, "what is leased stays as it is"
        assert found.gain is not None and found.gain > 0
        studio.manager.unload()


@pytest.mark.usefixtures("bf16")
def test_it_is_not_measured_where_the_copy_does_not_fit_the_budget(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, info = Manager(studio.manager.settings.model_copy(update={"outputs": tmp_path})), studio.info("sd1")
    with manager.lease(studio.info("dit"), "fp32"):
        pass  # an idle model
    first = precision.likely()
    with manager.lease(info, first.dtype, channels_last=first.channels_last) as loaded:
        copied = precision.copy_bytes(loaded)
        held = sum(component.bytes for component in manager.residency.components.values() if component.users)
        for budget, models in ((held + copied - 1, ("dit", "sd1")), (held + copied, ("sd1",))):
            monkeypatch.setattr(manager, "budget", lambda budget=budget: budget)
            with manager.room(copied) as fits:
                assert fits is (budget == held + copied)
                assert manager.memory().models == models  # the idle one makes way only where that helps
    monkeypatch.undo()
    monkeypatch.setattr(manager, "room", lambda extra: nullcontext(False))
    monkeypatch.setattr(precision, "measure", lambda loaded: pytest.fail("measured all the same"))
    assert precision.choose("auto", info, manager, tmp_path / "kept") == first
    assert not (tmp_path / "kept").exists()


@pytest.mark.sweep  # it takes what a processor without these formats needs for them
def test_the_probe_finds_a_format_and_leaves_the_dice_alone() -> None:
    precision.gain_of.cache_clear()
    state = torch.random.get_rng_state()
    assert precision.likely() in (precision.HALF, precision.FULL)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.usefixtures("bf16")
def test_a_damaged_answer_is_measured_again(studio: Studio, tmp_path: Path) -> None:
    precision.choose("auto", studio.info("ddpm"), studio.manager, tmp_path)
    kept = next(tmp_path.glob("*.json"))
    kept.write_text("{")
    assert precision.choose("auto", studio.info("ddpm"), studio.manager, tmp_path).dtype in ("fp32", "bf16")
    assert json.loads(kept.read_text())["dtype"] in ("fp32", "bf16")


def test_bf16_in_channels_last_makes_nearly_the_same_picture(studio: Studio) -> None:
    import numpy as np

    from studio.engine.generate import generate

    request = studio.request("sd1", steps=4, sampler="euler")
    full = np.asarray(studio.run("sd1", steps=4, sampler="euler")[0].image, dtype=float)
    with studio.manager.lease(studio.info("sd1"), "bf16", lambda w, f: None, channels_last=True) as loaded:
        assert memory_format(loaded.components["unet"]) == "channels_last"
        result = next(iter(generate(request, loaded)))
    assert (result.recipe.dtype, result.recipe.memory_format) == ("bf16", "channels_last")
    assert np.abs(np.asarray(result.image, dtype=float) - full).mean() < 4


@pytest.mark.parametrize("sampler", one_in(3, ["dpmpp_sde", "euler", "euler_a"]))
def test_replay_of_an_image_in_a_batch_is_bit_identical(studio: Studio, sampler: str) -> None:
    results = studio.run("sd1", sampler=sampler, steps=4, count=4, batch_size=2)
    again = replay(results[3].recipe, studio.manager, studio.models, picture=results[3].image)
    assert again.identical and again.verdict == "bit-identical"
    assert (again.largest, again.mean) == (0, 0.0)


def test_replay_names_what_differs(studio: Studio) -> None:
    result = studio.run("sd1", steps=4)[0]
    then = result.recipe.model_copy(
        update={
            "libraries": result.recipe.libraries | {"torch": "2.0.0"},
            "weights": {"unet": "0" * 64},
            "pixels": "0" * 64,
        }
    )
    again = replay(then, studio.manager, studio.models, picture=result.image.point(lambda v: min(v + 3, 255)))
    assert not again.identical
    assert any(reason.startswith("torch: was 2.0.0") for reason in again.reasons)
    assert any("unet" in reason for reason in again.reasons)
    assert again.largest == 3


def test_a_retouched_picture_is_told_from_its_recipe(studio: Studio) -> None:
    result = studio.run("sd1", steps=4)[0]
    again = replay(result.recipe, studio.manager, studio.models, picture=result.image.point(lambda v: 255 - v))
    assert not again.identical and "changed after it was made" in again.verdict


def test_replay_refuses_what_it_cannot_compare(studio: Studio) -> None:
    recipe = studio.run("sd1", steps=2)[0].recipe
    with pytest.raises(InvalidRequest):
        replay(recipe.model_copy(update={"pixels": None}), studio.manager, studio.models)
    with pytest.raises(UnknownName):
        replay(recipe.model_copy(update={"model": "gone"}), studio.manager, studio.models)
