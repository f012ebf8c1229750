"""Out of memory, a run climbs rung by rung, says in its recipe how far, begins there next time, and undoes everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import OutOfMemory
from studio.core.options import resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests import tiny_models

compat.prepare()
import torch  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Loaded, Manager  # noqa: E402

NO_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("models") / "sd", vae="kl").parent


@pytest.fixture
def manager(models: Path, tmp_path: Path) -> Manager:
    return Manager(Settings(models=(models,), outputs=tmp_path, device="cpu"))


@contextmanager
def failing(module: Any, name: str, fits: Callable[..., bool]) -> Iterator[list[bool]]:
    """`module.<name>` finds no memory unless `fits` says so; yields what each call was told."""
    original, told = getattr(module, name), []

    def call(*args: Any, **kwargs: Any) -> Any:
        told.append(fits(*args, **kwargs))
        if not told[-1]:
            raise RuntimeError(NO_MEMORY)
        return original(*args, **kwargs)

    setattr(module, name, call)
    try:
        yield told
    finally:
        delattr(module, name)


@contextmanager
def leased(manager: Manager, **values: Any) -> Iterator[tuple[GenerationRequest, Loaded]]:
    (info,) = manager.catalog.models()
    request = resolve(GenerationRequest(prompt="a red heart", steps=2, seed=5, **values), info)
    with manager.lease(info, "fp32", request=request) as loaded:
        yield request, loaded


def run(request: GenerationRequest, loaded: Loaded) -> list[Result]:
    return list(generate(request, loaded))


def test_a_decoder_that_finds_no_memory_decodes_in_tiles_and_the_recipe_says_so(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        vae = loaded.components["vae"]
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling) as told:
            (result,) = run(request, loaded)
        assert told == [False, True]
        assert "decoded in tiles" in result.recipe.notes
        assert not vae.use_tiling
    with leased(manager) as (request, loaded):  # the next run of the shape begins on that rung
        vae = loaded.components["vae"]
        with failing(vae, "_decode", lambda *a, **k: vae.use_tiling) as told:
            run(request, loaded)
        assert told == [True]


def test_a_batch_that_finds_no_memory_is_made_one_by_one_with_the_same_noise(manager: Manager) -> None:
    with leased(manager, count=2, batch_size=2) as (request, loaded):
        unet = loaded.components["unet"]
        with failing(unet, "forward", lambda sample, *a, **k: len(sample) <= 2):
            made = run(request, loaded)
        assert [result.seed for result in made] == [5, 6]
        assert all("denoised one image at a time" in result.recipe.notes for result in made)
    with leased(manager, count=1) as (request, loaded):
        (alone,) = run(request, loaded)
    assert alone.recipe.notes == ()  # another shape, no rung


def test_a_denoiser_that_finds_no_memory_is_streamed_and_comes_back_whole(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        (expected,) = run(request, loaded)
        unet = loaded.components["unet"]
        with failing(unet, "forward", lambda *a, **k: unet.conv_in.weight.is_meta):
            (result,) = run(request, loaded)
        assert "streamed the denoiser's weights" in result.recipe.notes
        assert result.image.size == expected.image.size
        assert not any(parameter.is_meta for parameter in unet.parameters())
    assert manager.residency.held() > 0


def test_at_the_top_the_error_says_what_was_tried(manager: Manager) -> None:
    with leased(manager) as (request, loaded):
        with (
            failing(loaded.components["unet"], "forward", lambda *a, **k: False),
            pytest.raises(OutOfMemory, match=r"Tried without success: .*decoded in tiles.*streamed"),
        ):
            run(request, loaded)
        assert run(request.model_copy(update={"seed": 6}), loaded)  # and the next good run works


def test_a_bad_allocation_is_met_as_such(manager: Manager) -> None:
    """The real thing: PyTorch's allocator asked for more than there is."""
    with leased(manager) as (request, loaded):
        vae = loaded.components["vae"]

        def fits(*_: Any, **__: Any) -> bool:
            if not vae.use_tiling:
                torch.empty(1 << 50)
            return True

        with failing(vae, "_decode", fits):
            (result,) = run(request, loaded)
    assert "decoded in tiles" in result.recipe.notes
