"""Under a budget that does not hold a model whole, it still runs, with the same pixels and never more than the budget."""

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import ModelError, OutOfMemory
from studio.core.models import ModelInfo
from studio.core.options import resolve_parts
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.families import FAMILIES
from studio.manager.manager import Manager, shape_of
from studio.manager.memory import assembly, estimate
from studio.manager.memory.estimate import Run, folder_weights
from studio.manager.memory.ledger import read_ledger
from studio.manager.memory.limits import anonymous
from studio.manager.memory.residency import KEPT_SHELLS
from tests.models import original_names, tiny_models
from tests.sweeps import one_in

compat.prepare()
import torch  # noqa: E402

from tests.models.calls import arguments_of  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "a", seed=1, vae="kl")
    tiny_models.stable_diffusion(root / "b", seed=2, vae="kl")
    tiny_models.pixart(root / "p", seed=3)
    return root


def manager_for(models: Path, outputs: Path, budget: int | None = None) -> Manager:
    return Manager(Settings(models=(models,), outputs=outputs, device="cpu", memory_budget=budget))


def info_of(manager: Manager, name: str) -> ModelInfo:
    return next(info for info in manager.catalog.models() if info.id == name)


def request_for(info: ModelInfo) -> GenerationRequest:
    return GenerationRequest(
        prompt="a large red heart", steps=2, width=info.defaults.width, height=info.defaults.height, guidance_scale=4.0
    )


def picture(manager: Manager, name: str, runs: int = 1) -> Any:
    info = info_of(manager, name)
    with manager.lease(info, "fp32", request=request_for(info)) as loaded:
        for _ in range(runs):
            pipeline = loaded.pipeline()
            arguments = arguments_of(request_for(info), loaded, pipeline)
            out = pipeline(**arguments, generator=[torch.Generator().manual_seed(7)], output_type="np").images[0]
    return out


def needs(models: Path, name: str, family: str) -> dict[str, tuple[int, int, int]]:
    """stage -> (bytes of its components, of them streamed, working memory), as the planner has them."""
    weights = folder_weights(models / name)
    manager = manager_for(models, models / ".out")
    stages = Run(FAMILIES.get(family), weights, shape_of(info_of(manager, name), None), "fp32").stages()
    buffers = 4096  # of modules, which no header has
    return {
        s.name: (
            buffers + sum(p.bytes for p in s.parts),
            buffers + sum(p.window or p.bytes for p in s.parts),
            s.activation,
        )
        for s in stages
    }


@pytest.mark.parametrize(("name", "family"), one_in(2, [("a", "sd1"), ("p", "pixart")]))
def test_a_model_that_does_not_fit_whole_runs_stage_by_stage_with_the_same_pixels(
    name: str, family: str, models: Path, tmp_path: Path
) -> None:
    expected = picture(manager_for(models, tmp_path / "free"), name)
    budget = max(parts + working for parts, _, working in needs(models, name, family).values())
    tight = manager_for(models, tmp_path / "tight", budget)
    made = picture(tight, name, runs=2)  # the second run goes back from decoding to encoding
    assert (made == expected).all()
    assert "evict" in {row["move"] for row in tight.ledger.recent}
    assert tight.residency.held() <= budget


@pytest.mark.parametrize(("name", "family"), one_in(2, [("p", "pixart"), ("a", "sd1")]))
def test_a_denoiser_that_does_not_fit_at_all_is_streamed_with_the_same_pixels(
    name: str, family: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small a model is all working memory; here its weights are to be what does not fit.
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    expected = picture(manager_for(models, tmp_path / "free"), name)
    wanted = needs(models, name, family)
    budget = max(
        wanted["denoise"][1] + wanted["denoise"][2], *(p + w for n, (p, _, w) in wanted.items() if n != "denoise")
    )
    assert budget < wanted["denoise"][0] + wanted["denoise"][2]
    tight = manager_for(models, tmp_path / "tight", budget)
    assert (picture(tight, name) == expected).all()
    assert "stream" in {row["move"] for row in tight.ledger.recent}


def test_a_budget_that_holds_not_even_one_stage_is_refused_with_the_arithmetic(models: Path, tmp_path: Path) -> None:
    manager = manager_for(models, tmp_path, 1 << 20)
    with pytest.raises(OutOfMemory, match=r"working memory .* the memory budget is 1 MiB"):
        picture(manager, "a")
    assert manager.residency.held() == 0


def test_another_model_makes_way_only_where_it_must(models: Path, tmp_path: Path) -> None:
    wanted = needs(models, "a", "sd1")
    whole = sum(parts for parts, _, _ in wanted.values()) + max(working for _, _, working in wanted.values())
    roomy = manager_for(models, tmp_path / "roomy", 10 * whole)
    first = picture(roomy, "a")
    picture(roomy, "b")
    assert (picture(roomy, "a") == first).all()
    assert "evict" not in {row["move"] for row in roomy.ledger.recent}
    tight = manager_for(models, tmp_path / "tight", whole)
    picture(tight, "a")
    picture(tight, "b")
    assert (picture(tight, "a") == first).all()
    assert {row["component"] for row in tight.ledger.recent if row["move"] == "evict"} >= {"unet"}
    assert tight.residency.held() <= whole


def test_what_a_lease_holds_is_never_evicted(models: Path, tmp_path: Path) -> None:
    wanted = needs(models, "a", "sd1")
    whole = sum(parts for parts, _, _ in wanted.values()) + max(working for _, _, working in wanted.values())
    manager = manager_for(models, tmp_path, whole)
    with manager.lease(info_of(manager, "a"), "fp32") as held:
        with pytest.raises(OutOfMemory, match="others kept in memory"), manager.lease(info_of(manager, "b"), "fp32"):
            pass
        assert not held.components["unet"].conv_in.weight.is_meta


def test_evicted_weights_are_really_gone(models: Path, tmp_path: Path) -> None:
    manager = manager_for(models, tmp_path)
    with manager.lease(info_of(manager, "a"), "fp32") as loaded:
        weight = weakref.ref(loaded.components["unet"].conv_in.weight)
        module = weakref.ref(loaded.components["unet"])
    del loaded
    manager.unload()
    gc.collect()
    assert (weight(), module()) == (None, None)
    assert manager.memory().residents == ()


def test_many_swaps_leave_no_memory_behind(models: Path, tmp_path: Path) -> None:
    wanted = needs(models, "a", "sd1")
    whole = sum(parts for parts, _, _ in wanted.values()) + max(working for _, _, working in wanted.values())
    manager = manager_for(models, tmp_path, whole)

    def swap(times: int) -> None:
        for number in range(times):
            with manager.lease(info_of(manager, "ab"[number % 2]), "fp32"):
                pass

    swap(6)
    before = anonymous()
    swap(20)
    assert anonymous() - before < 8 << 20
    assert len(manager.residency.components) <= 3 + KEPT_SHELLS


def test_every_move_is_in_the_ledger_with_its_bytes_and_seconds(models: Path, tmp_path: Path) -> None:
    manager = manager_for(models, tmp_path)
    picture(manager, "a")
    rows = read_ledger(tmp_path / ".unnoise/ledger.jsonl")
    loads = [row for row in rows if row["move"] == "load"]
    assert {row["component"] for row in loads} == {"unet", "vae", "text_encoder"}
    assert all(row["seconds"] > 0 and abs(row["predicted"] - row["measured"]) < 4096 for row in loads)


def test_working_memory_is_learned_from_a_run_and_kept_per_shape(models: Path, tmp_path: Path) -> None:
    manager = manager_for(models, tmp_path)
    picture(manager, "a")
    picture(manager, "a")
    measured = [row for row in manager.ledger.recent if row["move"] == "measure"]
    assert len(measured) == 1  # the first run also read the weights, so it is not taken
    known = manager_for(models, tmp_path).catalog.index.facts("working:" + measured[0]["key"], "cpu")
    assert known == {"bytes": measured[0]["measured"]}


def test_weights_that_are_not_numbers_are_refused_and_the_model_before_stays(models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    root = tmp_path / "models"
    shutil.copytree(models / "a", root / "good")
    shutil.copytree(models / "b", root / "nan")
    file = root / "nan/unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, file, {"format": "pt"})
    manager = manager_for(root, tmp_path / "out")
    picture(manager, "good")
    with pytest.raises(ModelError, match=r"unet holds numbers that are not finite \(NaN\), in conv_in.weight"):
        picture(manager, "nan")
    assert "unet" in {name for name, _ in manager.resident()}
    picture(manager, "good")


def test_two_autoencoders_of_one_content_but_another_scale_are_two(models: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    for name, scale in {"one": 0.18215, "two": 0.5}.items():
        shutil.copytree(models / "a", root / name)
        config = root / name / "vae/config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": scale}))
    manager = manager_for(root, tmp_path / "out")
    with (
        manager.lease(info_of(manager, "one"), "fp32") as one,
        manager.lease(info_of(manager, "two"), "fp32") as two,
    ):
        assert one.components["unet"] is two.components["unet"]
        assert one.components["vae"] is not two.components["vae"]


@pytest.mark.parametrize("naming", one_in(2, ["CompVis", "diffusers"]))
def test_a_card_may_put_another_vae_in_place_of_the_model_s_own(naming: str, models: Path, tmp_path: Path) -> None:
    root, other = tmp_path / "models", models / "b/vae/diffusion_pytorch_model.safetensors"
    shutil.copytree(models / "a", root / "sd")
    (root / "vae").mkdir()
    if naming == "diffusers":
        shutil.copy(other, root / "vae/other.safetensors")
    else:
        from diffusers import AutoencoderKL
        from safetensors.torch import save_file

        names = original_names.vae_original(AutoencoderKL.from_pretrained(models / "b/vae"))
        tensors = {key.removeprefix("first_stage_model."): tensor.contiguous() for key, tensor in names.items()}
        save_file(tensors, root / "vae/other.safetensors")
    (root / "sd/unnoise.json").write_text('{"vae": "vae/other"}')
    manager = manager_for(root, tmp_path / "out")
    parts = resolve_parts(GenerationRequest(model="sd"), info_of(manager, "sd"), manager.catalog.models())
    with (
        manager.lease(info_of(manager, "sd"), "fp32", parts=parts) as loaded,
        manager_for(models, tmp_path / "o").lease(info_of(manager_for(models, tmp_path / "o"), "b"), "fp32") as theirs,
    ):
        ours, expected = loaded.components["vae"].state_dict(), theirs.components["vae"].state_dict()
        assert all(ours[key].equal(expected[key]) for key in expected)
    (root / "vae/other.safetensors").unlink()
    with (
        pytest.raises(ModelError, match="is set to run with the VAE vae/other, which is not here"),
        manager.lease(info_of(manager, "sd"), "fp32", parts=parts),
    ):
        pass


def test_a_pinned_model_stays_and_a_smaller_budget_lets_the_rest_go(models: Path, tmp_path: Path) -> None:
    manager = manager_for(models, tmp_path)
    for name in "ab":
        with manager.lease(info_of(manager, name), "fp32"):
            pass
    manager.pin(info_of(manager, "a"), True)
    assert set(manager.memory().models) == {"a", "b"}
    manager.set_budget(manager.residency.held() - 1)
    assert (manager.memory().models, manager.memory().pinned) == (("a",), ("a",))
    assert {name for name, _ in manager.resident()} == {"unet", "vae", "text_encoder"}
    assert len(manager.resident()) == 5  # one part of b was enough
    manager.set_budget(1)
    assert (manager.memory().models, len(manager.resident())) == (("a",), 3)
    manager.pin(info_of(manager, "a"), False)
    manager.unload(info_of(manager, "a"))
    assert manager.memory().residents == ()


def test_a_failed_load_leaves_the_books_straight(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = manager_for(models, tmp_path)

    def fail(*_: Any) -> None:
        raise ModelError("damaged")

    monkeypatch.setattr(assembly, "load_folder", fail)
    with pytest.raises(ModelError, match="damaged"):
        picture(manager, "a")
    monkeypatch.undo()
    assert manager.residency.held() == 0
    assert picture(manager, "a").std() > 0
