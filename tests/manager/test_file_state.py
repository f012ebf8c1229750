"""A file that is changed under the models that are mapped from it: they are evicted before anybody touches them again."""

import os
import shutil
from pathlib import Path

import pytest

from studio import compat
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models

compat.prepare()
from studio.engine.generate import generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from studio.manager.memory.weights import changed_in_place  # noqa: E402

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    """Over a model and its copy, whose components are one in memory."""
    shutil.copytree(tiny_models.stable_diffusion(tmp_path / "models/one", vae="kl"), tmp_path / "models/copy")
    return Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "out", device="cpu"))


def pixels(manager: Manager, name: str) -> str | None:
    info = find_model(manager.catalog.models(), name)
    request = resolve(GenerationRequest(model=name, prompt="a red heart", steps=2, seed=3), info)
    with manager.lease(info, "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded))).recipe.pixels


def loads(manager: Manager) -> int:
    return [row["move"] for row in manager.ledger.recent].count("load")


def test_a_copy_goes_on_when_the_file_that_is_mapped_is_cut_short(manager: Manager, tmp_path: Path) -> None:
    """Touching a page that the file no longer has would kill the process (SIGBUS)."""
    expected = pixels(manager, "one")
    mapped = tmp_path / "models/one" / UNET
    os.truncate(mapped, mapped.stat().st_size // 2)
    assert pixels(manager, "copy") == expected
    gone = [row for row in manager.ledger.recent if row["move"] == "evict"]
    assert [(row["component"], row["reason"]) for row in gone] == [("unet", "its file was changed in place")]
    assert "incomplete" in (find_model(manager.catalog.models(), "one").problem or "")


def test_a_copy_goes_on_when_the_model_that_it_was_read_from_is_deleted(manager: Manager, tmp_path: Path) -> None:
    expected = pixels(manager, "one")
    shutil.rmtree(tmp_path / "models/one")
    manager.unload()
    assert pixels(manager, "copy") == expected


def test_a_file_replaced_by_another_of_its_name_does_no_harm(manager: Manager, tmp_path: Path) -> None:
    expected, before = pixels(manager, "one"), loads(manager)
    mapped = tmp_path / "models/one" / UNET
    shutil.copy(mapped, tmp_path / "new")
    (tmp_path / "new").replace(mapped)
    assert pixels(manager, "one") == expected
    assert loads(manager) == before


def test_what_counts_as_changed_in_place(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"12345678")
    mapped = file.stat()
    assert not changed_in_place(file, mapped)
    os.truncate(file, 4)
    assert changed_in_place(file, mapped)
    file.unlink()
    assert not changed_in_place(file, mapped)
