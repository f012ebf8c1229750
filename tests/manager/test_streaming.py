"""A denoiser whose weights visit memory layer by layer computes what it computes with all of them there, to the last bit."""

from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import ModelError
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models
from tests.sweeps import one_in

compat.prepare()
from safetensors.torch import load_file, save_file  # noqa: E402

from studio.engine.generate import generate  # noqa: E402
from studio.manager.manager import Loaded, Manager  # noqa: E402
from studio.manager.memory.planner import Move  # noqa: E402

# The first component of DDPM's and of DiT's pipeline is the denoiser, which they ask for the device to run on.
FAMILIES = ("sd1", "sd3", "flux", "dit", "ddpm")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Manager:
    root = tmp_path_factory.mktemp("streamed")
    for family in FAMILIES:
        tiny_models.BUILDERS[family](root / "models" / family)
    return Manager(Settings(models=(root / "models",), outputs=root / "out", device="cpu"))


def request_for(manager: Manager, family: str) -> GenerationRequest:
    info = find_model(manager.catalog.models(), family)
    prompt = {"dit": "3", "ddpm": ""}.get(family, "a red heart")
    return resolve(GenerationRequest(model=family, prompt=prompt, steps=2, seed=3), info)


def stream(manager: Manager, loaded: Loaded) -> None:
    denoiser = loaded.components[loaded.family.denoiser]
    component = next(c for c in manager.residency.components.values() if c.module is denoiser)
    for kind in ("evict", "stream"):
        manager.residency.perform(Move(kind, component.key, component.bytes, ""))


@pytest.mark.parametrize(
    ("family", "dtype", "channels_last"),
    one_in(4, ((family, *how) for how in (("fp32", False), ("bf16", True)) for family in FAMILIES)),
)
def test_from_the_first_step_on_the_pixels_are_the_same(
    family: str, dtype: str, channels_last: bool, manager: Manager
) -> None:
    request = request_for(manager, family)
    info = find_model(manager.catalog.models(), family)
    with manager.lease(info, dtype, channels_last=channels_last, request=request) as loaded:
        expected = next(iter(generate(request, loaded))).recipe.pixels
    with manager.lease(info, dtype, channels_last=channels_last, request=request) as loaded:
        stream(manager, loaded)
        assert next(iter(generate(request, loaded))).recipe.pixels == expected
    with manager.lease(info, dtype, channels_last=channels_last, request=request) as loaded:
        assert loaded.whole
        assert next(iter(generate(request, loaded))).recipe.pixels == expected


def test_a_file_that_lacks_a_tensor_is_refused_before_a_step_is_made(tmp_path: Path) -> None:
    file = tiny_models.ddpm(tmp_path / "models/m") / "unet/diffusion_pytorch_model.safetensors"
    manager = Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "out", device="cpu"))
    with manager.lease(find_model(manager.catalog.models(), "m"), "fp32") as loaded:
        tensors = load_file(file)
        tensors.pop("conv_in.bias")
        save_file(tensors, file.with_suffix(".new"), {"format": "pt"})
        file.with_suffix(".new").replace(file)
        with pytest.raises(ModelError, match=r"Its unet lacks 1 of its tensors, such as conv_in\.bias"):
            stream(manager, loaded)
