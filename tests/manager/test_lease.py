"""A model folder on disk becomes a pipeline in memory: found, described, loaded, run; its parts shared and hashed."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import InvalidRequest, ModelError
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.manager import Manager
from tests.models import tiny_models

compat.prepare()
import torch  # noqa: E402

from tests.models.calls import arguments_of  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, build in tiny_models.BUILDERS.items():
        build(root / "checkpoints" / name)
    return root


@pytest.fixture
def manager(folder: Path, tmp_path: Path) -> Manager:
    return Manager(Settings(models=(folder,), outputs=tmp_path, device="cpu"))


def info_of(manager: Manager, name: str) -> ModelInfo:
    return next(info for info in manager.catalog.models() if info.id == f"checkpoints/{name}")


def render(manager: Manager, info: ModelInfo, dtype: str = "fp32", **values: Any) -> torch.Tensor:
    """A two-step run by the family's own arguments; the image as a tensor (3, height, width)."""
    prompt = {"dit": "red heart", "consistency_classes": "3"}.get(info.family or "", "a large red heart")
    request = GenerationRequest(
        prompt=prompt, steps=2, width=info.defaults.width, height=info.defaults.height, **values
    )
    with manager.lease(info, dtype) as loaded:
        pipeline = loaded.pipeline()
        arguments = arguments_of(request, loaded, pipeline)
        generator = [torch.Generator().manual_seed(7)]
        return pipeline(**arguments | {"output_type": "np"}, generator=generator).images[0]


# The pictures of all families are compared with bare diffusers' in tests/engine/test_families.py.
EVERY = [
    pytest.param(name, marks=() if name in ("sdxl", "dit") else pytest.mark.sweep) for name in tiny_models.BUILDERS
]


@pytest.mark.parametrize("name", EVERY)
def test_each_layout_is_found_described_loaded_and_run(manager: Manager, name: str) -> None:
    info = info_of(manager, name)
    family = {"consistency": "consistency_classes"}.get(name, name)  # the tiny one has classes
    assert (info.family, info.kind, info.problem) == (family, "diffusers", None)
    image = render(manager, info)
    assert image.shape == (info.defaults.height, info.defaults.width, 3)
    assert image.std() > 0
    manager.unload()
    assert manager.resident() == []


def test_a_lease_gives_what_bare_diffusers_gives(manager: Manager, folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    bare = StableDiffusionPipeline.from_pretrained(folder / "checkpoints/sd1", local_files_only=True)
    expected = bare(
        "a large red heart", num_inference_steps=2, guidance_scale=5.0, output_type="np", generator=torch.manual_seed(7)
    ).images[0]
    assert (render(manager, info_of(manager, "sd1")) == expected).all()


def test_pipelines_are_shells_over_the_same_modules(manager: Manager) -> None:
    with manager.lease(info_of(manager, "sd1"), "fp32") as loaded:
        first, second, third = (
            loaded.pipeline(),
            loaded.pipeline(),
            loaded.pipeline(loaded.family.calls("")["image_to_image"]),
        )
    assert first.unet is second.unet is third.unet
    assert first.scheduler is not second.scheduler
    assert type(third).__name__ == "StableDiffusionImg2ImgPipeline"


def test_a_copy_of_a_model_costs_no_memory(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(folder / "checkpoints/sd1", root / "one")
    shutil.copytree(folder / "checkpoints/sd1", root / "two")
    manager = Manager(Settings(models=(root,), outputs=tmp_path, device="cpu"))
    one, two = manager.catalog.models()
    with manager.lease(one, "fp32") as a, manager.lease(two, "fp32") as b:
        assert a.components["unet"] is b.components["unet"]
        assert a.components["vae"] is b.components["vae"]


def test_dtypes_do_not_share(manager: Manager) -> None:
    info = info_of(manager, "sd1")
    with manager.lease(info, "fp32") as full, manager.lease(info, "bf16") as half:
        assert full.components["unet"].dtype == torch.float32
        assert half.components["unet"].dtype == torch.bfloat16


def test_the_weights_are_named_by_their_hash(manager: Manager, folder: Path) -> None:
    with manager.lease(info_of(manager, "sd1"), "fp32") as loaded:
        file = folder / "checkpoints/sd1/unet/diffusion_pytorch_model.safetensors"
        assert loaded.weights["unet"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert set(loaded.weights) == {"unet", "vae", "text_encoder"}


def test_a_task_that_a_model_cannot_do_is_refused_by_name(manager: Manager) -> None:
    with (
        manager.lease(info_of(manager, "pixart"), "fp32") as loaded,
        pytest.raises(InvalidRequest, match="cannot do upscale; it does: text to image"),
    ):
        loaded.call(GenerationRequest(task={"kind": "upscale"}))


def test_what_a_pipeline_does_not_take_is_refused_not_dropped(manager: Manager) -> None:
    with pytest.raises(InvalidRequest, match="no guidance rescale"):
        render(manager, info_of(manager, "pixart"), guidance_rescale=0.5)
    with pytest.raises(InvalidRequest, match="no negative prompt"):
        render(manager, info_of(manager, "dit"), negative_prompt="blue")


def test_loading_is_reported_part_by_part(manager: Manager) -> None:
    reports: list[tuple[str, float | None]] = []
    with manager.lease(info_of(manager, "sd1"), "fp32", lambda what, fraction: reports.append((what, fraction))):
        pass
    assert [what for what, _ in reports][-1] == "ready"
    assert "reading unet" in [what for what, _ in reports]
    fractions = [f for _, f in reports if f is not None]
    assert fractions == sorted(fractions)


def test_a_model_deleted_while_listed_is_refused_with_its_name(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(folder / "checkpoints/ddpm", root / "gone")
    manager = Manager(Settings(models=(root,), outputs=tmp_path, device="cpu"))
    (info,) = manager.catalog.models()
    shutil.rmtree(root / "gone")
    with pytest.raises(ModelError, match="gone"), manager.lease(info, "fp32"):
        pass


def test_the_card_gives_title_and_defaults(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(folder / "checkpoints/sd1", root / "starter")
    card = {"title": "Tiny", "shipped": True, "defaults": {"steps": 12, "guidance_scale": 3.5, "sampler": "ddim"}}
    (root / "starter/unnoise.json").write_text(json.dumps(card))
    (info,) = Manager(Settings(models=(root,), outputs=tmp_path)).catalog.models()
    assert (info.title, info.shipped) == ("Tiny", True)
    assert (info.defaults.steps, info.defaults.guidance_scale, info.defaults.width) == (12, 3.5, 128)
