"""Parts of a request in memory: components under the model's own plan and budget, attachments that leave no trace."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from studio import compat
from studio.core.errors import ModelError, OutOfMemory
from studio.core.models import ModelInfo
from studio.core.options import find_model, resolve
from studio.core.parts import VAE
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.loading import Source
from studio.manager.parts import SUPPORTS, Context, Support
from tests.models import tiny_models

compat.prepare()
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from studio.engine.generate import generate  # noqa: E402
from studio.manager.manager import Expected, Manager  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from studio.manager.memory.estimate import Shape, folder_weights  # noqa: E402
from studio.manager.memory.planning import forecast  # noqa: E402

UNET, VAE_FILE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TINT = "lora_unet_mid_block_attentions_0_proj_in"


class Tint(Support):
    """Stands for a LoRA: adds a file's numbers to the denoiser's last bias, and takes them away again."""

    streamable = False

    def attachments(self, part: Any, context: Context) -> dict[str, Path]:
        return {f"tint {part.model}": context.file(part.model, "lora")}

    @contextmanager
    def attach(self, part: Any, context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        layer = getattr(modules.get(context.family.denoiser), "conv_out", None)
        if layer is None:  # of a stage that runs without it
            yield
            return
        kept = layer.bias.data
        assert not kept.is_meta
        layer.bias.data = kept + load_file(context.file(part.model, "lora"))[f"{TINT}.lora_up.weight"][0, 0]
        yield
        assert not layer.bias.is_meta  # detached before it is evicted
        layer.bias.data = kept


class Sketch(Support):
    """Stands for a ControlNet: a component of its own beside the model's, of which a request may have several."""

    def components(self, part: Any, context: Context) -> dict[str, Source]:
        folder = Path(part.model)
        return {"sketch": Source("sketch", "diffusers", "UNet2DConditionModel", folder, (folder / Path(UNET).name,))}

    def pipeline_arguments(self, parts: Sequence[Any], modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"sketch": [found["sketch"] for found in modules]}


class Anything(BaseModel):
    """A part of a kind that only these tests know."""

    kind: str
    model: str


def part(kind: str, model: str | Path) -> Any:
    return Anything(kind=kind, model=str(model))


@pytest.fixture(autouse=True)
def supports(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, support in {"tint": Tint(), "sketch": Sketch()}.items():
        monkeypatch.setitem(SUPPORTS._items, kind, support)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("a", "b")):
        tiny_models.stable_diffusion(root / name, seed=seed, vae="kl")
    tiny_models.ddpm(root / "pixels")
    (root / "vae").mkdir()
    shutil.copy(root / "b" / VAE_FILE, root / "vae/other.safetensors")
    tint = {f"{TINT}.lora_up.weight": torch.full((32, 4), 0.5), f"{TINT}.lora_down.weight": torch.zeros(4, 32)}
    (root / "lora").mkdir()
    save_file(tint | {f"{TINT}.alpha": torch.ones(())}, root / "lora/red.safetensors")
    return root


def manager_for(models: Path, outputs: Path, budget: int | None = None) -> Manager:
    return Manager(Settings(models=(models,), outputs=outputs, device="cpu", memory_budget=budget))


@pytest.fixture
def manager(models: Path, tmp_path: Path) -> Manager:
    return manager_for(models, tmp_path)


def info_of(manager: Manager, name: str) -> ModelInfo:
    return find_model(manager.catalog.models(), name)


def pixels(manager: Manager, *parts: Any) -> str | None:
    info = info_of(manager, "a")
    request = resolve(GenerationRequest(model="a", prompt="a red heart", steps=2, seed=3), info)
    with manager.lease(info, "fp32", parts=parts, request=request) as loaded:
        return next(iter(generate(request, loaded))).recipe.pixels


def names(manager: Manager) -> list[str]:
    return sorted(name for name, _ in manager.resident())


def test_a_vae_takes_the_place_of_the_model_s_own_and_is_loaded_once(manager: Manager) -> None:
    other = VAE(model="vae/other")
    with (
        manager.lease(info_of(manager, "a"), "fp32", parts=[other]) as loaded,
        manager.lease(info_of(manager, "b"), "fp32") as theirs,
    ):
        assert loaded.components["vae"] is theirs.components["vae"]  # one content
        assert loaded.pipeline().vae is loaded.components["vae"]
        assert loaded.weights["vae"] == theirs.weights["vae"]
        assert names(manager).count("vae") == 1
    with manager.lease(info_of(manager, "a"), "fp32") as plain:
        assert plain.components["vae"] is not loaded.components["vae"]


def test_a_vae_that_is_not_here_or_has_no_place_is_refused(manager: Manager) -> None:
    for model, name, sentence in [
        ("a", "vae/none", "the VAE vae/none, which is not here"),
        ("a", "lora/red", "the VAE lora/red, which is not here"),
        ("pixels", "vae/other", "has no VAE"),
    ]:
        with (
            pytest.raises(ModelError, match=sentence),
            manager.lease(info_of(manager, model), "fp32", parts=[VAE(model=name)]),
        ):
            pass
    assert manager.resident() == []


def test_what_is_wrong_with_a_part_is_said_of_it_and_not_of_the_model(models: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(models, root)
    tensors = load_file(root / "vae/other.safetensors")
    tensors["decoder.conv_out.bias"][0] = float("nan")
    save_file(tensors, root / "vae/other.safetensors")
    manager = manager_for(root, tmp_path / "out")
    with pytest.raises(ModelError, match="vae holds numbers that are not finite"):
        pixels(manager, VAE(model="vae/other"))
    assert "not finite" in (info_of(manager, "vae/other").problem or "")
    assert info_of(manager, "a").problem is None


def test_waiting_jobs_keep_the_components_of_their_parts(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    pixels(manager, VAE(model="vae/other"))
    pixels(manager)
    info = info_of(manager, "a")
    own, other = (
        c.key for c in sorted(manager.residency.components.values(), key=lambda c: c.last_use) if "vae" in c.key
    )
    manager.expect([Expected(info, "fp32", False, (VAE(model="vae/other"),))])
    manager.residency._leased.clear()  # as in another session
    manager.expect([Expected(info, "fp32", False, (VAE(model="vae/other"),))])
    manager.set_budget(manager.residency.held() - 1)
    left = {key for key, component in manager.residency.components.items() if component.state == "resident"}
    assert len({own, other} & left) == 1


def test_several_components_of_one_kind_come_under_the_plan_and_go_to_the_pipeline_together(
    manager: Manager, models: Path
) -> None:
    info, parts = info_of(manager, "a"), [part("sketch", models / name / "unet") for name in ("a", "b", "a")]
    with manager.lease(info, "fp32", parts=parts) as loaded:
        one, two, three = loaded.components["sketch"]
        assert one is three and one is not two  # equal content is one component
        assert one is not loaded.components["unet"]  # which pipelines may change in other ways
        assert names(manager) == ["sketch", "sketch", "text_encoder", "unet", "vae"]
        assert {"sketch", "sketch_2", "sketch_3"} <= loaded.weights.keys()
    moves = [row["move"] for row in manager.ledger.recent]
    assert moves.count("load") == 5
    plain, sketched = (
        forecast(info, models / "a", 1 << 40, Shape(64, 64), "fp32", "cpu", manager.catalog, chosen)
        for chosen in ([], parts)
    )
    unet = 4 * folder_weights(models / "a")["unet"].elements
    assert sketched.plan.peak - plain.plan.peak == 3 * unet  # a plan knows no content: each is counted
    manager.unload()
    assert manager.resident() == []


def test_components_of_parts_come_with_the_stage_that_needs_them(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    expected = pixels(manager_for(models, tmp_path / "free"), part("sketch", models / "b/unet"))
    sizes = {name: 4 * w.elements for name, w in folder_weights(models / "a").items()}
    budget = 2 * sizes["unet"] + (64 << 10)
    assert budget < sum(sizes.values()) + sizes["unet"]
    tight = manager_for(models, tmp_path / "tight", budget)
    assert pixels(tight, part("sketch", models / "b/unet")) == expected
    moves = [(row["move"], row["component"], row["stage"]) for row in tight.ledger.recent]
    assert ("load", "sketch", "denoise") in moves and ("evict", "text_encoder", "denoise") in moves
    assert tight.residency.held() <= budget


def unet_in_memory(manager: Manager) -> dict[str, Any]:
    return next(c.module for c in manager.residency.components.values() if c.source.name == "unet").state_dict()


def test_an_attachment_changes_the_picture_and_leaves_the_base_as_it_was(manager: Manager, models: Path) -> None:
    plain, tinted = pixels(manager), pixels(manager, part("tint", "lora/red"))
    assert plain != tinted
    file = load_file(models / "a" / UNET)
    assert all(tensor.equal(file[name]) for name, tensor in unet_in_memory(manager).items())
    assert pixels(manager) == plain
    assert [row["move"] for row in manager.ledger.recent if row["move"] != "measure"] == 3 * ["load"]
    with manager.lease(info_of(manager, "a"), "fp32", parts=[part("tint", "lora/red")]) as loaded:
        assert len(loaded.weights["tint lora/red"]) == 64


def test_an_attachment_comes_and_goes_with_its_stage(
    manager: Manager, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, red = pixels(manager, part("tint", "lora/red")), part("tint", "lora/red")
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    largest = max(4 * w.elements for w in folder_weights(models / "a").values())
    staged = manager_for(models, tmp_path / "staged", largest + (64 << 10))
    info = info_of(staged, "a")
    request = resolve(GenerationRequest(model="a", prompt="a red heart", steps=2, seed=3, count=2), info)
    with staged.lease(info, "fp32", parts=[red], request=request) as loaded:
        assert not loaded.whole
        made = list(generate(request, loaded))  # the second picture goes back to encoding
    assert made[0].recipe.pixels == expected
    assert "evict" in {row["move"] for row in staged.ledger.recent}


def test_what_is_attached_counts_in_the_plan(manager: Manager, models: Path) -> None:
    info, shape, bytes_of_red = info_of(manager, "a"), Shape(64, 64), 4 * (2 * 32 * 4 + 1)
    peaks = [
        forecast(info, models / "a", 1 << 40, shape, "fp32", "cpu", manager.catalog, parts).plan.peaks
        for parts in ([], [part("tint", "lora/red")])
    ]
    assert {stage: size + bytes_of_red for stage, size in peaks[0].items()} == peaks[1]


def test_a_denoiser_with_an_attachment_is_never_streamed(
    manager: Manager, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    red = part("tint", "lora/red")
    with manager.lease(info_of(manager, "a"), "fp32", parts=[red]) as loaded:
        names = [fallback.name for fallback in loaded.fallbacks._all if fallback.applies()]
        assert not {"stream", "release"} & set(names)
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)
    sizes = {name: 4 * w.elements for name, w in folder_weights(models / "a").items()}
    budget = max(size for name, size in sizes.items() if name != "unet") + (64 << 10)
    assert budget < sizes["unet"]
    tight = manager_for(models, tmp_path / "tight", budget)
    assert pixels(tight)
    assert "stream" in {row["move"] for row in tight.ledger.recent}
    before = len(tight.ledger.recent)
    with pytest.raises(OutOfMemory, match=r"To denoise takes .* the memory budget is"):
        pixels(tight, red)
    assert len(tight.ledger.recent) == before
