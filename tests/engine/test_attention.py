"""The attention that a run records: that of the layers' own kernels, in shares that sum to one, of words that the prompt has."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from studio.core.branching import attention_of
from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.manager.manager import Manager
from tests.engine.test_branches import STEPS, Runs
from tests.models import tiny_models
from tests.sweeps import by_default

MODELS = ("sd1", "pixart", "sd3", "flux")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("attention")
    for kind in (*MODELS, "ddpm"):
        tiny_models.BUILDERS[kind](folder / "models" / kind)
    settings = Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")
    yield Runs(Manager(settings), folder / "traces")


@pytest.mark.parametrize("model", by_default(["sd1", "flux"], MODELS))
def test_attention_is_recorded_when_asked_for_and_sums_to_one(runs: Runs, model: str) -> None:
    plain = runs.make(model)
    first = runs.make(model, parts=[{"kind": "attention", "side": 4, "heads": True}])
    assert first.pixels == plain.pixels
    info, tensors = runs.trace(first)
    assert info.attention is not None
    words = [word for at, word in enumerate(info.attention.words) if at not in info.attention.marks]
    assert words in (["a", "red", "heart"], ["a", "red", "heart"] * 2)  # read by CLIP, and by T5 too
    for number, layer in enumerate(info.attention.layers):
        maps = tensors[f"attention.{number}"]
        assert maps.shape == (STEPS, layer.heads, len(info.attention.words), layer.height, layer.width)
        assert layer.width <= 4 and torch.allclose(maps.sum(2), torch.ones(()), atol=1e-5)
    averaged = runs.run(attention_of(first, {"side": 4}))[0]
    assert averaged.pixels == first.pixels
    mean = runs.trace(averaged)[1]["attention.0"]
    assert torch.allclose(mean, tensors["attention.0"].mean(1, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("model", ["sd1", "sd3", "flux"])
def test_attention_is_that_of_the_kernel(runs: Runs, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded shares of the prompt and the picture, against the softmax of the very queries and keys that the layer's
    kernel was given in the first step."""
    seen: list[torch.Tensor] = []
    original = torch.nn.functional.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append((query[-1].float() @ key[-1].float().transpose(1, 2) * query.shape[-1] ** -0.5).softmax(-1))
        return original(query, key, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    request = {"steps": 1, "guidance_scale": 4.0 if model != "flux" else 3.5}
    first = runs.make(model, parts=[{"kind": "attention", "side": 64, "heads": True}], **request)
    info, tensors = runs.trace(first)
    assert info.attention is not None
    for number, layer in enumerate(info.attention.layers):
        maps = tensors[f"attention.{number}"][0]  # (heads, words, height, width)
        shares = maps.flatten(2).transpose(1, 2)  # (heads, queries, words)
        place = info.attention.words.index("red")
        found = any(_has(each, shares[..., place]) for each in seen)
        assert found, layer


def _has(kernel: torch.Tensor, share: torch.Tensor) -> bool:
    """Whether a column of the kernel's shares, of the picture's queries, is this one."""
    queries = share.shape[1]
    if kernel.shape[0] != share.shape[0] or kernel.shape[1] < queries:
        return False
    rows = (kernel[:, :queries], kernel[:, -queries:])
    return any(bool(((each - share[..., None]).abs().amax((0, 1)) < 1e-5).any()) for each in rows)


def test_attention_of_a_branch_begins_with_it_and_a_model_without_is_refused(runs: Runs) -> None:
    first = runs.make("sd1")
    branch = runs.branch(first, 2, prompt="a blue star", attention=True)
    maps = runs.trace(branch)[1]["attention.0"]
    assert torch.isnan(maps[:2]).all() and torch.isfinite(maps[2:]).all()
    with pytest.raises(InvalidRequest, match=r"takes no|no attention to the prompt"):
        runs.make("ddpm", prompt="", parts=[{"kind": "attention"}])
    with pytest.raises(InvalidRequest, match="It has: side, heads"):
        attention_of(first, {"depth": 3})


def test_the_words_of_weighted_long_and_changing_prompts(runs: Runs) -> None:
    part = [{"kind": "attention", "side": 4}]
    for prompt, words in (
        ("a (red:1.3) heart", ["a", "red", "heart"]),
        ("a [red:blue:0.5] heart", ["a", "red / blue", "heart"]),
        ("red, " * 50, ["red", ","] * 50),
    ):
        about = runs.trace(runs.make("sd1", prompt=prompt, parts=part))[0].attention
        assert about is not None
        assert [word for at, word in enumerate(about.words) if at not in about.marks] == words
