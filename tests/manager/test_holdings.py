"""Who holds what: models that share parts, models in two precisions, and what a person keeps."""

import shutil
from pathlib import Path

import pytest

from studio import compat
from studio.core.models import ModelInfo
from studio.core.settings import Settings
from tests.models import tiny_models

compat.prepare()
from studio.manager.manager import Manager  # noqa: E402

VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    """Two models of one autoencoder, and a copy of the first."""
    one = tiny_models.stable_diffusion(tmp_path / "models/one", seed=1, vae="kl")
    two = tiny_models.stable_diffusion(tmp_path / "models/two", seed=2, vae="kl")
    shutil.copy(one / VAE, two / VAE)
    shutil.copytree(one, tmp_path / "models/copy")
    return Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "out", device="cpu"))


def info(manager: Manager, name: str) -> ModelInfo:
    return next(model for model in manager.catalog.models() if model.id == name)


def lease(manager: Manager, *names: str, dtype: str = "fp32") -> None:
    for name in names:
        with manager.lease(info(manager, name), dtype):
            pass


def components(manager: Manager) -> list[str]:
    return sorted(name for name, _ in manager.resident())


def test_what_another_model_in_memory_is_made_of_stays_when_one_is_unloaded(manager: Manager) -> None:
    lease(manager, "one", "two")
    assert len(components(manager)) == 5
    manager.unload(info(manager, "one"))
    assert components(manager) == ["text_encoder", "unet", "vae"]
    assert manager.memory().models == ("two",)
    manager.unload(info(manager, "two"))
    assert components(manager) == []


def test_a_model_and_its_copy_are_one_and_go_together(manager: Manager) -> None:
    lease(manager, "one", "copy")
    assert manager.memory().models == ("one", "copy") and len(components(manager)) == 3
    manager.unload(info(manager, "copy"))
    assert components(manager) == []


def test_a_part_of_two_pinned_models_stays_pinned_when_one_is_let_go(manager: Manager) -> None:
    lease(manager, "one", "two")
    for name in ("one", "two"):
        manager.pin(info(manager, name), True)
    manager.pin(info(manager, "one"), False)
    assert manager.memory().pinned == ("two",)
    manager.set_budget(1)
    assert manager.memory().models == ("two",)


def test_a_pin_follows_the_precision_that_is_used(manager: Manager) -> None:
    """Else what was pinned first would stay for ever, and under nobody's name."""
    lease(manager, "one", dtype="bf16")
    manager.pin(info(manager, "one"), True)
    lease(manager, "one", dtype="fp32")
    assert manager.memory().pinned == ("one",)
    assert all(holders == ("one",) for holders in manager.memory().holders)
    manager.set_budget(1)
    assert {component.dtype for component in manager.residency.components.values() if component.taken} == {
        next(c.dtype for c in manager.residency.components.values() if c.pinned)
    }
    manager.pin(info(manager, "one"), False)
    manager.unload(info(manager, "one"))
    assert components(manager) == []


def test_every_precision_of_a_model_is_unloaded(manager: Manager) -> None:
    lease(manager, "one", dtype="bf16")
    lease(manager, "one", dtype="fp32")
    assert len(components(manager)) == 6
    manager.unload(info(manager, "one"))
    assert components(manager) == []
