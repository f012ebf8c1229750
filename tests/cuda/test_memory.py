"""The memory budget on a CUDA device: what is evicted is really gone, streaming fits where weights do not, and out of memory is survived."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.engine.generate import generate
from studio.manager.loading import module_bytes
from studio.manager.manager import Loaded, Manager
from studio.manager.memory.planner import Move
from tests.models import tiny_models

pytestmark = pytest.mark.cuda
MIB = 2**20


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        tiny_models.stable_diffusion(folder / f"model-{seed}", seed=seed, vae="kl")
    return folder


@pytest.fixture
def manager(models: Path, device: str, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(Settings(models=(models,), outputs=tmp_path, device=device))
    yield made
    made.unload()


@contextmanager
def leased(manager: Manager, name: str, **values: object) -> Iterator[tuple[GenerationRequest, Loaded]]:
    info = find_model(manager.catalog.models(), name)
    request = resolve(GenerationRequest(model=name, prompt="a red heart", steps=2, seed=5, **values), info)
    with manager.lease(info, "fp32", request=request) as loaded:
        yield request, loaded


def weights(loaded: Loaded) -> int:
    return sum(module_bytes(part) for part in loaded.components.values() if isinstance(part, torch.nn.Module))


def used() -> int:
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def test_a_budget_that_holds_one_model_swaps_them_and_draws_as_without_it(manager: Manager) -> None:
    pixels = {}
    for name in ("model-1", "model-2"):
        with leased(manager, name) as (request, loaded):
            pixels[name] = next(iter(generate(request, loaded))).recipe.pixels
            size = weights(loaded)
    manager.unload()
    for name in ("model-1", "model-2", "model-1"):
        with leased(manager, name) as (request, loaded):
            manager.set_budget(manager.residency.held() + size // 2)
            assert next(iter(generate(request, loaded))).recipe.pixels == pixels[name]
        manager.set_budget(manager.residency.held())
        assert len(manager.memory().models) == 1
        manager.set_budget(None)
        manager.unload()
    assert not manager.resident()


def test_what_is_evicted_is_gone_from_the_card(card: str, manager: Manager) -> None:
    before = used()
    with leased(manager, "model-1") as (_, loaded):
        size = weights(loaded)
        assert used() - before >= size
    del loaded
    manager.unload()
    assert used() - before < MIB


def test_a_streamed_denoiser_draws_the_same_bits(manager: Manager) -> None:
    with leased(manager, "model-1") as (request, loaded):
        expected = next(iter(generate(request, loaded))).recipe.pixels
    with leased(manager, "model-1") as (request, loaded):
        denoiser = loaded.components[loaded.family.denoiser]
        component = next(c for c in manager.residency.components.values() if c.module is denoiser)
        for kind in ("evict", "stream"):
            manager.residency.perform(Move(kind, component.key, component.bytes, ""))
        assert next(iter(generate(request, loaded))).recipe.pixels == expected


def test_out_of_memory_a_batch_is_made_one_by_one(card: str, manager: Manager) -> None:
    """A real limit: the process may take little more than the weights and one picture's work need."""
    with leased(manager, "model-1", count=2, batch_size=2, width=512, height=512) as (request, loaded):
        one = request.model_copy(update={"count": 1, "batch_size": 1})
        list(generate(one, loaded))
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        list(generate(one, loaded))
        peak = torch.cuda.max_memory_reserved()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (peak + 64 * MIB) / total))
        try:
            made = list(generate(request, loaded))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(made) == 2
    assert made[0].recipe.notes  # what was done about it
