"""A checkpoint without its VAE takes one that lies beside, in whichever naming, and makes the same picture with it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from studio.core.options import resolve_parts
from studio.core.request import GenerationRequest
from studio.manager.families import FAMILIES
from studio.manager.families.stable_diffusion import SD1
from studio.manager.manager import Manager
from tests.manager.test_converter import manager, picture, source
from tests.models import original_names
from tests.sweeps import one_in

__all__ = ["manager", "source"]  # fixtures: a manager whose SD 1 is as small as its one file


def vae_in(naming: str, source: Path, file: Path) -> None:
    from diffusers import AutoencoderKL
    from safetensors.torch import save_file

    module = AutoencoderKL.from_pretrained(source / "vae", local_files_only=True)
    tensors = original_names.vae_original(module)
    if naming == "bare":
        tensors = {key.removeprefix("first_stage_model."): tensor for key, tensor in tensors.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    if naming == "diffusers":
        shutil.copyfile(source / "vae/diffusion_pytorch_model.safetensors", file)
    else:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)


@pytest.mark.parametrize("naming", one_in(3, ["wrapped", "bare", "diffusers"]))
def test_a_vae_beside_completes_a_checkpoint_in_any_naming(
    naming: str, manager: Manager, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from safetensors.torch import load_file, save_file

    file = manager.catalog.path("checkpoints/tiny")
    assert file is not None
    small = FAMILIES.get("sd1")
    assert small.blueprint is not None and SD1.blueprint is not None
    completed = replace(small.blueprint, companions=SD1.blueprint.companions)
    monkeypatch.setitem(FAMILIES._items, "sd1", replace(small, blueprint=completed))
    kept = {key: tensor for key, tensor in load_file(file).items() if not key.startswith("first_stage_model.")}
    save_file(kept, file)
    vae_in(naming, source, file.parent.parent / "vae/good.safetensors")
    info = next(info for info in manager.catalog.models() if info.kind == "checkpoint")
    assert (info.needs, info.problem) == (("vae",), None)
    with manager.lease(info, "fp32") as loaded:
        made = picture(loaded.pipeline())
        schedule = PNDMScheduler.from_config(loaded.components["scheduler"].config)  # the family's: a file holds none
    bare = StableDiffusionPipeline.from_pretrained(source, local_files_only=True, scheduler=schedule)
    assert (made == picture(bare)).all()


@pytest.mark.parametrize("naming", one_in(3, ["diffusers", "bare", "wrapped"]))
def test_a_vae_in_place_of_its_own_may_be_in_any_naming(naming: str, manager: Manager, source: Path) -> None:
    from studio.core.models import Override

    file = manager.catalog.path("checkpoints/tiny")
    assert file is not None
    vae_in(naming, source, file.parent.parent / "vae/good.safetensors")
    manager.catalog.overrides.write(file, Override(vae="vae/good"))
    info = next(info for info in manager.catalog.models() if info.kind == "checkpoint")
    parts = resolve_parts(GenerationRequest(model=info.id), info, manager.catalog.models())
    with manager.lease(info, "fp32", parts=parts) as loaded:
        made = picture(loaded.pipeline())
    manager.catalog.overrides.write(file, Override(vae=None))
    info = next(info for info in manager.catalog.models() if info.kind == "checkpoint")
    with manager.lease(info, "fp32") as loaded:
        assert (made == picture(loaded.pipeline())).all()
