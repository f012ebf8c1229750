"""Folders as huggingface_hub keeps them: each model once, under its repository's name."""

import shutil
from pathlib import Path

import pytest

from studio import compat
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.settings import Settings
from studio.manager.disk.catalog import Catalog
from studio.manager.manager import Manager
from tests.models import tiny_models
from tests.models.hub_cache import ONE, TWO, cached
from tests.models.sparse_headers import CASES, write_sparse
from tests.sweeps import one_in

compat.prepare()
import torch  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("hub") / "sd")


def listed(*roots: Path) -> dict[str, ModelInfo]:
    return {info.id: info for info in Catalog(roots, None).models()}


def titles(*roots: Path) -> list[str]:
    return sorted(info.title for info in Catalog(roots, None).models())


@pytest.mark.parametrize("shared", one_in(2, [False, True]))
def test_a_cached_repository_is_one_model_and_makes_the_image_of_its_folder(
    shared: bool, folder: Path, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionPipeline

    snapshot = cached(tmp_path / "hub", "some-org/tiny-sd", TWO, folder, shared=shared)
    assert snapshot.joinpath("unet/config.json").is_symlink()
    manager = Manager(Settings(models=(tmp_path / "hub",), outputs=tmp_path / "out", device="cpu"))
    (info,) = manager.catalog.models()
    assert (info.id, info.title) == (f"models--some-org--tiny-sd/snapshots/{TWO}", "tiny-sd")
    assert (info.problem, info.bytes > 0) == (None, True)
    assert find_model([info], "tiny-sd") is info

    def picture(pipeline: object) -> object:
        return pipeline(  # type: ignore[operator]
            "a red heart", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(3)
        ).images

    with manager.lease(info, "fp32") as loaded:
        made = picture(loaded.pipeline())
    assert (made == picture(StableDiffusionPipeline.from_pretrained(folder, local_files_only=True))).all()


def test_of_several_revisions_the_main_one_has_the_plain_name(folder: Path, tmp_path: Path) -> None:
    for revision in (ONE, TWO):
        cached(tmp_path / "hub", "some-org/tiny-sd", revision, folder)
    catalog = Catalog((tmp_path / "hub",), tmp_path / "index.db")
    assert sorted(info.title for info in catalog.models()) == ["tiny-sd", "tiny-sd (aaaaaaa)"]
    (tmp_path / "hub/models--some-org--tiny-sd/refs/main").write_text(ONE)
    assert sorted(info.title for info in catalog.models()) == ["tiny-sd", "tiny-sd (0123456)"]
    shutil.rmtree(tmp_path / "hub/models--some-org--tiny-sd/snapshots" / ONE)
    assert [info.title for info in catalog.models()] == ["tiny-sd"], "the only one is called by the plain name"


def test_the_name_tells_what_the_header_does_not(folder: Path, tmp_path: Path) -> None:
    cached(tmp_path / "hub", "stabilityai/sd-turbo", TWO, folder)
    (info,) = listed(tmp_path / "hub").values()
    assert (info.title, info.variant, info.capabilities.distilled) == ("sd-turbo", "few-step", True)


def test_what_was_not_fetched_whole_says_so(folder: Path, tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "hub", "some-org/tiny-sd", TWO, folder)
    weights = snapshot / "unet/diffusion_pytorch_model.safetensors"
    weights.resolve().unlink()
    (info,) = listed(tmp_path / "hub").values()
    assert info.title == "tiny-sd"
    assert info.problem == "unet/diffusion_pytorch_model.safetensors: It is a link to a file that is not there."
    weights.unlink()
    assert listed(tmp_path / "hub")[info.id].problem == "Its unet has no weights."
    (snapshot / "model_index.json").resolve().unlink()
    assert "model_index.json is missing or cannot be read" in (listed(tmp_path / "hub")[info.id].problem or "")


def test_weights_in_several_widths_are_counted_and_read_once(folder: Path, tmp_path: Path) -> None:
    both = shutil.copytree(folder, tmp_path / "both")
    plain = {info.title: info.bytes for info in listed(both).values()}["both"]
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        shutil.copyfile(both / part / f"{stem}.safetensors", both / part / f"{stem}.fp16.safetensors")
    shutil.copyfile(
        both / "unet/diffusion_pytorch_model.safetensors", both / "unet/diffusion_pytorch_model.non_ema.safetensors"
    )
    cached(tmp_path / "hub", "some-org/both", TWO, both)
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        (both / part / f"{stem}.safetensors").unlink()
    cached(tmp_path / "hub", "some-org/half", TWO, both)
    found = {info.title: info for info in listed(tmp_path / "hub").values()}
    assert {title: (info.bytes, info.problem) for title, info in found.items()} == {
        "both": (plain, None),
        "half": (plain, None),
    }
    manager = Manager(Settings(models=(tmp_path / "hub",), outputs=tmp_path / "out", device="cpu"))
    with manager.lease(found["half"], "fp32") as loaded:
        assert loaded.components["unet"].dtype is torch.float32


def test_single_files_of_a_repository_go_by_its_name_and_are_listed_once(tmp_path: Path) -> None:
    lora, named = tmp_path / "lora", tmp_path / "named"
    write_sparse(lora / "pytorch_lora_weights.safetensors", CASES["diffusers LoRA"][1])
    write_sparse(named / "sdxl_lightning_4step_unet.safetensors", CASES["SDXL"][1])
    for revision in (ONE, TWO):
        cached(tmp_path / "hub", "latent-consistency/lcm-lora", revision, lora)
    cached(tmp_path / "hub", "ByteDance/SDXL-Lightning", TWO, named)
    found = listed(tmp_path / "hub")
    assert sorted(info.title for info in found.values()) == ["lcm-lora", "sdxl_lightning_4step_unet"]
    assert f"models--latent-consistency--lcm-lora/snapshots/{TWO}/pytorch_lora_weights" in found


def test_other_repositories_of_a_cache_are_passed_over(folder: Path, tmp_path: Path) -> None:
    write_sparse(tmp_path / "hub/datasets--a--b/snapshots/x/data.safetensors", {"x": (2, 2)})
    write_sparse(tmp_path / "hub/models--a--c/.no_exist/x/y.safetensors", {"x": (2, 2)})
    cached(tmp_path / "hub", "c", TWO, folder)
    assert titles(tmp_path / "hub") == ["c"]


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("model.safetensors", "model"),
        ("checkpoints/model.safetensors", "model"),
        ("clip_vision/model.safetensors", "model"),
        ("vae/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model"),
        ("vae/sdxl-vae/diffusion_pytorch_model.fp16.safetensors", "sdxl-vae"),
        ("controlnet/canny/diffusion_pytorch_model.safetensors", "canny"),
        ("some flux/vae/diffusion_pytorch_model.safetensors", "some flux vae"),
        ("Lora/hair/pytorch_lora_weights.safetensors", "hair"),
        ("Lora/hair/hair_v2.safetensors", "hair_v2"),
    ],
)
def test_a_file_that_a_library_named_goes_by_its_folder(path: str, title: str, tmp_path: Path) -> None:
    write_sparse(tmp_path / "models" / path, CASES["LoKr"][1])
    assert titles(tmp_path / "models") == [title]


def test_a_file_under_several_names_is_listed_where_it_really_is(tmp_path: Path) -> None:
    real = write_sparse(tmp_path / "models/z/real.safetensors", CASES["SD 1.5"][1])
    (tmp_path / "models/a").mkdir()
    (tmp_path / "models/a/link.safetensors").symlink_to(real)
    (tmp_path / "models/a/hard.safetensors").hardlink_to(
        write_sparse(tmp_path / "models/b/x.safetensors", CASES["LoHa"][1])
    )
    assert len(listed(tmp_path / "models")) == 2
    assert "z/real" in listed(tmp_path / "models")
    (tmp_path / "models/a/link.unnoise.json").write_text('{"title": "The same, otherwise"}')
    assert listed(tmp_path / "models")["a/link"].title == "The same, otherwise", "a name with a card is meant"
    outside = write_sparse(tmp_path / "elsewhere/out.safetensors", CASES["LoKr"][1])
    (tmp_path / "models/a/out.safetensors").symlink_to(outside)
    assert "a/out" in listed(tmp_path / "models")
