"""The kernel of attention is one model's own: visible in its recipes, refused where it does not run, never the next model's."""

from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import InvalidRequest
from studio.core.options import find_model, resolve
from studio.core.recipe import differences
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models

compat.prepare()
import torch  # noqa: E402
from diffusers.models import attention_dispatch  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from studio.manager.memory.assembly import set_attention  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "a", seed=1)
    tiny_models.stable_diffusion(root / "b", seed=2)
    tiny_models.pixart(root / "p", seed=3)
    return root


def manager_with(kernel: str, models: Path, outputs: Path) -> Manager:
    return Manager(Settings(models=(models,), outputs=outputs, device="cpu", attention=kernel))


def result(manager: Manager, name: str) -> Result:
    info = find_model(manager.catalog.models(), name)
    request = resolve(GenerationRequest(model=name, prompt="a red heart", steps=2, seed=3), info)
    with manager.lease(info, "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded)))


def kernels(module: Any) -> set[str]:
    return {type(processor).__name__ for processor in module.attn_processors.values()}


def test_the_choice_is_in_the_recipe_and_changes_little(models: Path, tmp_path: Path) -> None:
    plain = result(manager_with("sdpa", models, tmp_path / "1"), "a")
    sliced = result(manager_with("sliced", models, tmp_path / "2"), "a")
    assert (plain.recipe.attention, sliced.recipe.attention) == ("sdpa", "sliced")
    assert "attention: was sdpa, is sliced" in differences(plain.recipe, sliced.recipe)
    gap = (torch.tensor(list(plain.image.tobytes())) - torch.tensor(list(sliced.image.tobytes()))).abs().max()
    assert gap <= 1


def test_a_model_that_knows_no_slices_keeps_sdpa_and_says_so(models: Path, tmp_path: Path) -> None:
    assert result(manager_with("sliced", models, tmp_path), "p").recipe.attention == "sdpa"


def test_none_leaks_from_one_model_to_the_next(models: Path, tmp_path: Path) -> None:
    registry = attention_dispatch._AttentionBackendRegistry
    before, manager = registry.get_active_backend()[0], manager_with("sdpa", models, tmp_path)
    listed = manager.catalog.models()
    with (
        manager.lease(find_model(listed, "a"), "fp32") as one,
        manager.lease(find_model(listed, "b"), "fp32") as two,
    ):
        own = kernels(two.components["unet"])
        set_attention(one.components["unet"], "sliced", torch.device("cpu"))
        assert kernels(one.components["unet"]) == {"SlicedAttnProcessor"}
        assert kernels(two.components["unet"]) == own == {"AttnProcessor2_0"}
    assert registry.get_active_backend()[0] == before
    with manager.lease(find_model(listed, "p"), "fp32") as three:
        assert kernels(three.components["transformer"]) == {"AttnProcessor2_0"}


def test_what_a_model_chose_outlives_its_eviction(models: Path, tmp_path: Path) -> None:
    manager = manager_with("sliced", models, tmp_path)
    first = result(manager, "a")
    manager.unload()
    assert result(manager, "a").recipe.pixels == first.recipe.pixels
    info = find_model(manager.catalog.models(), "a")
    with manager.lease(info, "fp32") as loaded:
        assert kernels(loaded.components["unet"]) == {"SlicedAttnProcessor"}


def test_xformers_is_refused_where_it_does_not_run(models: Path, tmp_path: Path) -> None:
    manager = manager_with("xformers", models, tmp_path)
    with pytest.raises(InvalidRequest, match="xformers does not run on cpu; start with --attention sdpa"):
        result(manager, "a")


def test_a_kernel_without_operators_is_refused_when_it_is_tried() -> None:
    class Denoiser:
        def enable_xformers_memory_efficient_attention(self) -> None:
            raise NotImplementedError("No operator found for `memory_efficient_attention_forward`")

    with pytest.raises(InvalidRequest, match="xformers does not run on cuda"):
        set_attention(Denoiser(), "xformers", torch.device("cuda"))


def test_where_xformers_runs_it_is_set_on_this_model_alone() -> None:
    class Denoiser:
        enabled = False

        def enable_xformers_memory_efficient_attention(self) -> None:
            self.enabled = True

    one, two = Denoiser(), Denoiser()
    assert set_attention(one, "xformers", torch.device("cuda")) == "xformers"
    assert (one.enabled, two.enabled) == (True, False)
    assert set_attention(object(), "xformers", torch.device("cuda")) == "sdpa"
