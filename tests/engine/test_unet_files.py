"""SDXL's base, inpainting model and refiner, and U-Nets alone, from single files: imported whole, with nothing made up."""

import json
import shutil
from pathlib import Path

import pytest

from studio import compat
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from tests.manager import small_child
from tests.models import original_names, single_files, tiny_models
from tests.models.conversions import imported
from tests.models.original_names import P, save, text_original
from tests.sweeps import one_in

compat.prepare()

import torch  # noqa: E402

BUILDERS = {
    "base": lambda folder: tiny_models.stable_diffusion_xl(folder, tokens=77),
    "inpaint": lambda folder: tiny_models.sdxl_inpaint(folder, tokens=77),
    "refiner": lambda folder: tiny_models.sdxl_refiner(folder, tokens=77),
    "sd1": lambda folder: tiny_models.stable_diffusion(folder, vae="kl", tokens=77),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sources")
    return {name: build(root / name) for name, build in BUILDERS.items()}


@pytest.fixture(autouse=True)
def small(sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    small_child.shrink(monkeypatch, "sdxl", sources["base"])
    small_child.shrink(monkeypatch, "sdxl", sources["refiner"], "refiner")
    small_child.shrink(monkeypatch, "sd1", sources["sd1"])


@pytest.fixture
def models(tmp_path: Path, sources: dict[str, Path]) -> Path:
    single_files.tokenizer_folders(tmp_path / "models", sources["sd1"], None)
    return tmp_path / "models"


@pytest.mark.parametrize("variant", one_in(3, ["base", "inpaint", "refiner"]))
def test_sdxl_s_files_are_imported_as_what_they_are(variant: str, sources: dict[str, Path], models: Path) -> None:
    parts = single_files.components_of(sources[variant])
    single_files.xl_checkpoint(models / "checkpoints/xl.safetensors", parts)
    info = described(models, "checkpoints/xl")
    assert (info.family, info.variant, info.problem) == ("sdxl", "" if variant == "base" else variant, None)
    assert info.capabilities.tasks[0] == "text_to_image"
    folder = imported(models, info.id)
    made = single_files.components_of(folder)
    assert {name for name, part in made.items() if part is not None} == {
        name for name, part in parts.items() if part is not None
    }
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if parts.get(name) is not None:
            ours, theirs = made[name].state_dict(), parts[name].state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name


def test_the_refiner_s_folder_says_that_it_wants_an_aesthetic_score(sources: dict[str, Path], models: Path) -> None:
    parts = single_files.components_of(sources["refiner"])
    single_files.xl_checkpoint(models / "checkpoints/sd_xl_refiner_1.0.safetensors", parts)
    index = json.loads((imported(models, "checkpoints/sd_xl_refiner_1.0") / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLImg2ImgPipeline"
    assert index["requires_aesthetics_score"] is True
    assert index["text_encoder"] == index["tokenizer"] == [None, None]


@pytest.mark.parametrize("packing", one_in(2, ["Q8_0", "F16"]))
def test_a_quantised_unet_takes_its_text_encoder_and_vae_from_beside(
    packing: str, sources: dict[str, Path], models: Path
) -> None:
    parts = single_files.components_of(sources["sd1"])
    unet = {key.removeprefix(P): tensor for key, tensor in original_names.unet_original(parts["unet"]).items()}
    single_files.gguf_file(models / f"unet/sd15-{packing}.gguf", unet, "sd1", packing, rearranged=True)
    save(models / "text_encoders/clip_l.safetensors", text_original(parts["text_encoder"]))
    save(models / "vae/vae-ft-mse.safetensors", original_names.vae_original(parts["vae"]))
    info = described(models, f"unet/sd15-{packing}")
    assert (info.kind, info.family, info.problem) == ("gguf", "sd1", None)
    assert info.needs == ("vae", "text_encoder")
    made = single_files.components_of(imported(models, info.id))
    wanted = parts["unet"].state_dict()
    got = made["unet"].state_dict()
    worst = max(float((got[k] - wanted[k]).abs().max() / wanted[k].abs().max().clamp(min=1e-6)) for k in wanted)
    assert worst < 0.01
    assert torch.equal(made["text_encoder"].state_dict()["final_layer_norm.weight"], torch.ones(32))


def test_a_checkpoint_without_its_vae_borrows_one_of_a_folder(sources: dict[str, Path], models: Path) -> None:
    parts = single_files.components_of(sources["base"])
    file = single_files.xl_checkpoint(models / "checkpoints/novae.safetensors", parts)
    from safetensors.torch import load_file

    save(file, {key: tensor for key, tensor in load_file(file).items() if not key.startswith("first_stage_model.")})
    assert "lacks its VAE" in (described(models, "checkpoints/novae").problem or "")
    shutil.copytree(sources["base"], models / "diffusers/xl-base")
    info = described(models, "checkpoints/novae")
    assert info.problem is None
    made = single_files.components_of(imported(models, info.id))["vae"].state_dict()
    assert all(torch.equal(made[key], tensor) for key, tensor in parts["vae"].state_dict().items())


def described(models: Path, model_id: str) -> ModelInfo:
    return next(info for info in Catalog((models,), None).models() if info.id == model_id)
