"""A branch that changes nothing is the picture that it left, to the last bit, and does not call the denoiser before its step."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from studio.core.branching import branch_of
from studio.core.errors import InvalidRequest
from studio.core.options import find_model, resolve
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.core.settings import OWN_MODELS, Settings
from studio.core.traces import TraceInfo
from studio.engine.generate import Watch
from studio.engine.stages import generate_all, planned
from studio.engine.trace_recorder import TraceRecorder
from studio.jobs.traces import TraceStore
from studio.manager.disk.traces import read_trace, read_trace_of
from studio.manager.manager import Loaded, Manager
from tests.sweeps import one_in

STEPS = 5
SAMPLERS = (
    "dpmpp_2m_sde", "dpmpp_sde", "euler", "euler_a", "heun", "dpm2", "lms", "dpmpp_2m", "unipc", "ddim", "ddpm", "pndm",
    "dpm2_a", "sa_solver", "dpmpp_2s_a", "dpm_adaptive",
)  # fmt: skip
PICTURE = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
DIGEST = "0" * 64


class Runs:
    """Makes pictures and keeps their traces; counts the rows that the denoiser computed."""

    def __init__(self, manager: Manager, folder: Path):
        self.manager, self.models = manager, manager.catalog.models()
        self.traces = TraceStore(folder, 2**30)
        self.forwards = 0

    def run(self, request: GenerationRequest) -> list[Recipe]:
        info = find_model(self.models, request.model)
        resolved = resolve(request, info, self.models)
        prediction, read = info.capabilities.prediction, partial(read_trace_of, self.traces.path)
        self.forwards = 0
        recipes = []
        with TraceRecorder(self.traces.put, read, prediction) as recorder:
            watch = Watch((recorder,), read_image=lambda digest: PICTURE, trace_file=self.traces.path)
            for result in generate_all(resolved, planned(resolved, info, self.models), self._lease, watch):
                recorder.finished(result.recipe)
                recipes.append(result.recipe)
        return recipes

    def make(self, model: str, **values: Any) -> Recipe:
        given = {"prompt": "a red heart", "steps": STEPS, "seed": 7, "dtype": "fp32"} | values
        return self.run(GenerationRequest(model=model, **given))[0]

    def branch(self, recipe: Recipe, step: int, **changes: Any) -> Recipe:
        return self.run(branch_of(recipe, step, changes))[0]

    def trace(self, recipe: Recipe) -> tuple[TraceInfo, dict[str, torch.Tensor]]:
        path = self.traces.path(recipe.pixels or "")
        return read_trace(path)[0], load_file(path)

    def _lease(self, number: int, info: Any, request: GenerationRequest) -> Any:
        return _Counting(self, self.manager.lease(info, "fp32", request=request))


class _Counting:
    """A lease whose denoiser counts its own forwards, those of its first layer."""

    def __init__(self, runs: Runs, lease: Any):
        self.runs, self.lease = runs, lease

    def __enter__(self) -> Loaded:
        loaded: Loaded = self.lease.__enter__()
        layer = next(m for m in loaded.components[loaded.family.denoiser].modules() if not list(m.children()))
        self.hook = layer.register_forward_hook(self._count)
        return loaded

    def _count(self, *_: Any) -> None:
        self.runs.forwards += 1

    def __exit__(self, *error: Any) -> None:
        self.hook.remove()
        self.lease.__exit__(*error)


@pytest.fixture(scope="module")
def runs(manager: Manager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    yield Runs(manager, tmp_path_factory.mktemp("traces"))


@pytest.mark.parametrize("sampler", one_in(len(SAMPLERS), SAMPLERS))
def test_an_unchanged_branch_is_its_picture(runs: Runs, sampler: str) -> None:
    first = runs.make("sd1", sampler=sampler)
    whole = runs.forwards
    info, tensors = runs.trace(first)
    for step in (1, info.steps - 2):
        again = runs.branch(first, step)
        assert again.pixels == first.pixels and again.parent == first.pixels
        calls = int(tensors["first_call"][step])
        assert runs.forwards * info.calls == whole * (info.calls - calls)
        assert all(torch.equal(runs.trace(again)[1][name], tensors[name]) for name in ("raw", "guided", "x_t", "x0"))


@pytest.mark.parametrize(("model", "sampler"), one_in(10, [(m, s) for m in ("pixart", "sd1") for s in SAMPLERS[:10]]))
def test_from_a_picture_too(runs: Runs, model: str, sampler: str) -> None:
    task = {"kind": "image_to_image", "image": DIGEST, "strength": 0.8}
    first = runs.make(model, sampler=sampler, task=task)
    assert runs.trace(first)[0].steps == 4
    again = runs.branch(first, 2)
    assert again.pixels == first.pixels and again.parent == first.pixels


@pytest.mark.parametrize(
    ("model", "values"), one_in(3, [("dit", {"prompt": "3"}), ("ddpm", {"prompt": ""}), ("sd1-v", {})])
)
def test_of_other_models(runs: Runs, model: str, values: dict[str, Any]) -> None:
    first = runs.make(model, **values)
    assert runs.branch(first, 3).pixels == first.pixels
    assert runs.forwards == STEPS - 3


def test_what_changes_acts_from_the_step_on_and_can_be_branched_again(runs: Runs) -> None:
    first = runs.make("sd1", sampler="euler_a")
    before = runs.trace(first)[1]
    changes = (
        {"prompt": "a blue star"},
        {"guidance_scale": 1.0},
        {"guidance_scale": 9.0},
        {"seed": 3},
        {"sampler": "ddim"},
    )
    seen = {first.pixels}
    for each in changes:
        made = runs.branch(first, 2, **each)
        assert made.pixels not in seen, each
        seen.add(made.pixels)
        info, after = runs.trace(made)
        scale = (after["scale"][:, None, None, None], before["scale"][:, None, None, None])
        states = (after["x_t"].float() * scale[0], before["x_t"].float() * scale[1])
        assert torch.allclose(states[0][:3], states[1][:3], rtol=2e-3, atol=4e-3), each  # kept as fp16
        assert not torch.allclose(states[0][3:], states[1][3:], atol=4e-3), each
        again = runs.branch(made, 3)
        assert again.pixels == made.pixels, each
        assert info.reseeded == (((2, 3),) if "seed" in each else ()) and info.resumed == (
            2 if "sampler" in each else 0
        )
    combined = runs.branch(first, 2, prompt="a [red:blue:0.5] star AND a heart", seed=4)
    assert runs.branch(combined, 3).pixels == combined.pixels


def test_a_trace_holds_what_the_denoiser_returned_and_what_guidance_made_of_it(runs: Runs) -> None:
    first = runs.make("sd1", sampler="heun", guidance_scale=4.0)
    info, tensors = runs.trace(first)
    assert (info.steps, info.calls, info.cond_row, info.uncond_row) == (STEPS, 2 * STEPS - 1, 1, 0)
    uncond, cond = tensors["raw"].unflatten(0, (-1, 2)).unbind(1)
    assert torch.allclose(uncond + 4 * (cond - uncond), tensors["guided"], atol=1e-5)
    starts = tensors["first_call"].long()
    difference = (cond - uncond)[starts].flatten(1).square().mean(1).sqrt()
    assert torch.allclose(difference, tensors["norm_difference"], rtol=1e-4)
    cosine = torch.cosine_similarity(cond[starts].flatten(1), tensors["guided"][starts].flatten(1)).clamp(-1, 1)
    assert torch.allclose(torch.rad2deg(torch.acos(cosine)), tensors["angle_guided"], atol=0.1)
    x0 = tensors["x_t"].float() - tensors["sigma"][:, None, None, None] * tensors["guided"][starts]
    assert torch.allclose(x0, tensors["x0"].float(), atol=0.1)
    assert torch.allclose(tensors["alpha_bar"], 1 / (1 + tensors["sigma"] ** 2), rtol=1e-4)


def test_each_picture_of_a_batch_has_its_own(runs: Runs) -> None:
    request = GenerationRequest(model="sd1", prompt="a heart", steps=3, seed=7, count=3, batch_size=2, dtype="fp32")
    recipes = runs.run(request)
    for number, recipe in enumerate(recipes):
        alone = runs.make("sd1", prompt="a heart", steps=3, seed=7 + number)
        (_, own), (_, other) = runs.trace(recipe), runs.trace(alone)
        assert own["raw"].shape == other["raw"].shape and torch.allclose(own["raw"], other["raw"], atol=1e-4)


def test_what_cannot_be_played_back_is_refused(runs: Runs) -> None:
    first = runs.make("sd1", sampler="dpmpp_2m")
    base = branch_of(first, 2, {})
    for changes, sentence in (
        ({"width": 64}, "keeps the width"),
        ({"steps": 9}, "keeps the number of steps"),
        ({"seed": 8}, "began with seed 7"),
        ({"spacing": "karras"}, "keeps the spacing"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            runs.run(base.changed(**changes))
        assert runs.forwards == 0
    with pytest.raises(InvalidRequest, match="another noise level"):
        runs.branch(first, 2, sampler="dpm_fast")
    with pytest.raises(InvalidRequest, match="adds no noise"):
        runs.branch(first, 2, seed=4)
    path = runs.traces.path(first.pixels or "")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(InvalidRequest, match="incomplete"):
        runs.branch(first, 2)
    digest = first.weights["unet"]
    path.write_bytes(whole.replace(digest.encode(), digest[::-1].encode()))
    with pytest.raises(InvalidRequest, match="other weights"):
        runs.branch(first, 2)
    path.unlink()
    with pytest.raises(InvalidRequest, match="No trace"):
        runs.branch(first, 2)


@pytest.mark.sweep
@pytest.mark.parametrize("sampler", SAMPLERS[:10])
def test_with_the_shipped_models(sampler: str, tmp_path: Path) -> None:
    runs = Runs(Manager(Settings(models=(OWN_MODELS,), outputs=tmp_path, device="cpu")), tmp_path / "traces")
    for model in (info.id for info in runs.models if info.shipped):
        for task in ({"kind": "text_to_image"}, {"kind": "image_to_image", "image": DIGEST, "strength": 0.8}):
            first = runs.make(model, sampler=sampler, task=task)
            assert runs.branch(first, 2).pixels == first.pixels, (model, task)
