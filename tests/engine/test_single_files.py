"""Single files of FLUX.1 and Stable Diffusion 3 make the very picture of the diffusers folder they were written from."""

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from studio import compat
from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.core.options import resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.conversion import imports
from studio.manager.disk.catalog import Catalog
from studio.manager.manager import Manager
from tests.manager import small_child
from tests.models import single_files, tiny_models
from tests.models.conversions import convert_here, imported
from tests.models.original_names import flux_original, save, t5_llama_names, text_original

compat.prepare()
import diffusers  # noqa: E402
import torch  # noqa: E402

from studio.engine.generate import generate  # noqa: E402
from tests.models.calls import arguments_of  # noqa: E402
from tests.sweeps import one_in  # noqa: E402

T5_TOKENIZER = {"flux": "tokenizer_2", "sd3": "tokenizer_3"}
SIZE = 32


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return single_files.folders(tmp_path_factory.mktemp("sources"))


@pytest.fixture(autouse=True)
def small(sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The families are as small as the sources for the length of a test, here and in the converter's process."""
    for family, folder in sources.items():
        small_child.shrink(monkeypatch, family, folder)
        monkeypatch.setenv(small_child.SOURCE + family, str(folder))
    monkeypatch.setattr(imports, "CHILD", small_child.__name__)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.mark.parametrize(("family", "layout"), one_in(2, [("sd3", "one file"), ("flux", "comfy")]))
def test_a_file_is_found_imported_run_and_unloaded(
    family: str, layout: str, sources: dict[str, Path], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in a real process of its own, the other in the test's."""
    if family == "sd3":
        convert_here(monkeypatch)
    single_files.tokenizer_folders(models, sources[family], T5_TOKENIZER[family])
    if layout == "comfy":
        single_files.comfy_layout(models, sources[family], family)
    else:
        single_files.all_in_one(models / "checkpoints/sd3.5_tiny_incl_clips_t5.safetensors", sources[family], family)
    manager = Manager(Settings(models=(models,), outputs=tmp_path / "out", device="cpu"))
    info = next(info for info in manager.catalog.models() if info.kind == "checkpoint")
    assert (info.family, info.problem, info.capabilities.prediction) == (family, None, "flow_prediction")
    request = resolve(requested(info), info)
    with manager.lease(info, "fp32") as loaded:
        made = np.asarray(next(iter(generate(request, loaded))).image)
        arguments = arguments_of(request, loaded)
    assert np.array_equal(made, bare(sources[family], arguments, request.seed))
    assert manager.residency.held() > 0
    manager.unload()
    gc.collect()
    assert manager.residency.held() == 0


def test_a_denoiser_alone_is_completed_from_a_folder_that_lacks_just_that(
    sources: dict[str, Path], models: Path
) -> None:
    """What a person has who fetched the small half of a gated repository and the denoiser from elsewhere."""
    donor = models / "diffusers/FLUX.1-dev"
    shutil.copytree(sources["flux"], donor, ignore=lambda folder, names: ["transformer"])
    single_files.comfy_layout(models / "elsewhere", sources["flux"], "flux")
    file = models / "unet/flux1-dev.safetensors"
    file.parent.mkdir()
    (models / "elsewhere/diffusion_models/flux1-dev.safetensors").rename(file)
    shutil.rmtree(models / "elsewhere")
    folder = imported(models, "unet/flux1-dev")
    assert same_weights(folder, sources["flux"])


@pytest.mark.parametrize("deed", one_in(2, ["rewritten", "a better one"]))
def test_another_text_encoder_beside_means_another_import(
    deed: str, sources: dict[str, Path], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made from the old one goes; what is in memory of both is the same, and comes from where it is now."""
    convert_here(monkeypatch)
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    single_files.comfy_layout(models, sources["flux"], "flux")
    manager = Manager(Settings(models=(models,), outputs=tmp_path / "out", device="cpu"))
    place = tmp_path / "out/.unnoise/imported"

    def t5() -> torch.Tensor:
        info = next(info for info in manager.catalog.models() if info.kind == "checkpoint")
        with manager.lease(info, "fp32") as loaded:
            assert manager.prepared() == (info.id,)
            return loaded.components["text_encoder_2"].state_dict()["shared.weight"].clone()

    before = t5()
    (first,) = (path for path in place.iterdir() if path.is_dir())
    file = models / "text_encoders/t5xxl_fp16.safetensors"
    tensors = {key: tensor + 1 for key, tensor in load_file(file).items()}
    if deed == "a better one":
        file, more = models / "text_encoders/t5xxl_fp32.safetensors", {"logit_scale": torch.zeros(9)}
        save(file, tensors | more)
    else:
        save(file, tensors)
    manager.unload()
    manager.catalog.models()
    assert manager.prepared() == ()
    assert torch.equal(t5(), before + 1)
    (second,) = (path for path in place.iterdir() if path.is_dir())
    assert second != first
    manager.sweep()
    assert second.is_dir()
    file.unlink()
    manager.sweep()
    assert [path.name for path in place.iterdir()] == [".lock"]


@pytest.mark.parametrize("name", one_in(2, ["text_encoder_2/model-{:05d}-of-00002", "t5xxl-{:05d}-of-00002"]))
def test_a_text_encoder_in_several_files_is_one(name: str, sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    single_files.comfy_layout(models, sources["flux"], "flux")
    whole = models / "text_encoders/t5xxl_fp16.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    for number in (1, 2):
        part = {key: tensor for place, (key, tensor) in enumerate(sorted(tensors.items())) if place % 2 == number - 1}
        save(models / f"text_encoders/{name.format(number)}.safetensors", part)
    catalog = Catalog((models,), None)
    (info,) = (info for info in catalog.models() if info.variant == "t5xxl")
    assert info.title in ("t5xxl", "text_encoders text_encoder_2")
    path = catalog.path(info.id)
    assert path is not None and info.bytes > path.stat().st_size
    assert same_weights(imported(models, "diffusion_models/flux1-dev"), sources["flux"])
    second = models / f"text_encoders/{name.format(2)}.safetensors"
    second.unlink()
    problems = {info.id: info.problem or "" for info in catalog.models()}
    assert problems[info.id] == f"The model lies in 2 files, and {second.name} is missing."
    assert "lacks the text encoder T5-XXL" in problems["diffusion_models/flux1-dev"]


def test_components_that_two_files_share_take_their_room_once(sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    file = single_files.comfy_layout(models, sources["flux"], "flux")
    shutil.copyfile(file, file.with_name("another.safetensors"))
    first, second = (imported(models, f"diffusion_models/{name}") for name in ("flux1-dev", "another"))
    for name, shared in (("text_encoder_2", True), ("vae", True), ("transformer", False)):
        a, b = (next((folder / name).glob("*.safetensors")) for folder in (first, second))
        assert a.samefile(b) is shared
    shutil.rmtree(first)
    assert same_weights(second, sources["flux"])


def test_it_is_written_in_the_run_s_dtype_once_and_for_all(sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    single_files.comfy_layout(models, sources["flux"], "flux")
    folder = imported(models, "diffusion_models/flux1-dev", "bf16")
    wanted = single_files.components_of(sources["flux"])
    made = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.bfloat16).components
    for name in ("transformer", "text_encoder", "text_encoder_2", "vae"):
        with safe_open(next((folder / name).glob("*.safetensors")), "pt") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"BF16"}  # noqa: SIM118
        ours, theirs = made[name].state_dict(), wanted[name].state_dict()
        assert all(torch.equal(ours[key], theirs[key].bfloat16()) for key in theirs), name


def test_stable_diffusion_3_does_without_its_t5(sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["sd3"], None)
    file = models / "checkpoints/sd3_medium_incl_clips.safetensors"
    single_files.all_in_one(file, sources["sd3"], "sd3", without=("text_encoder_3",))
    folder = imported(models, "checkpoints/sd3_medium_incl_clips")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline("a red heart", num_inference_steps=1, height=SIZE, width=SIZE).images


def test_schnell_keeps_the_schedule_it_was_distilled_with(tmp_path: Path, models: Path) -> None:
    source = tiny_models.flux(tmp_path / "schnell", guided=False)
    single_files.tokenizer_folders(models, source, "tokenizer_2")
    single_files.all_in_one(models / "checkpoints/flux1-schnell.safetensors", source, "flux")
    (info,) = (info for info in Catalog((models,), None).models() if info.kind == "checkpoint")
    assert (info.variant, info.defaults.steps, info.defaults.guidance_scale) == ("few-step", 4, 1.0)
    folder = imported(models, info.id)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    assert not pipeline.scheduler.config.use_dynamic_shifting
    assert pipeline.scheduler.config.shift == 1.0
    assert same_weights(folder, source)


def test_eight_bit_floats_are_cast_and_scaled_once(sources: dict[str, Path], models: Path) -> None:
    """ComfyUI's fp8: the denoiser as it is, the T5 with a scale beside each weight."""
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    file = single_files.comfy_layout(models, sources["flux"], "flux")
    parts = single_files.components_of(sources["flux"])
    eight = torch.float8_e4m3fn
    save(file, flux_original(parts["transformer"]), eight)
    t5 = text_original(parts["text_encoder_2"])
    scaled: dict[str, Any] = {"scaled_fp8": torch.zeros(2, dtype=eight)}
    for key, tensor in t5.items():
        if tensor.ndim == 2 and "SelfAttention" in key and "bias" not in key:
            scale = tensor.abs().max() / 448
            scaled[key] = (tensor / scale).to(eight)
            scaled[key.replace(".weight", ".scale_weight")] = scale
        else:
            scaled[key] = tensor
    (models / "text_encoders/t5xxl_fp16.safetensors").unlink()
    save(models / "text_encoders/t5xxl_fp8_e4m3fn_scaled.safetensors", scaled)
    made = single_files.components_of(imported(models, "diffusion_models/flux1-dev"))
    key = "transformer_blocks.0.attn.to_q.weight"
    wanted = parts["transformer"].state_dict()[key].to(eight).float()
    assert torch.equal(made["transformer"].state_dict()[key], wanted)
    key = "encoder.block.0.layer.0.SelfAttention.q.weight"
    off = (made["text_encoder_2"].state_dict()[key] - t5[key]).abs().max() / t5[key].abs().max()
    assert off < 0.04


@pytest.mark.parametrize(("packing", "most"), one_in(3, [("Q4_0", 0.15), ("Q8_0", 0.01), ("F16", 1e-3)]))
def test_a_quantised_denoiser_is_unpacked(packing: str, most: float, sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    single_files.comfy_layout(models, sources["flux"], "flux").unlink()
    original = flux_original(single_files.components_of(sources["flux"])["transformer"])
    single_files.gguf_file(models / f"unet/flux1-dev-{packing}.gguf", original, "flux", packing)
    info = next(info for info in Catalog((models,), None).models() if info.kind == "gguf")
    assert (info.family, info.problem, info.capabilities.tasks[0]) == ("flux", None, "text_to_image")
    made = single_files.components_of(imported(models, info.id))["transformer"].state_dict()
    wanted = single_files.components_of(sources["flux"])["transformer"].state_dict()
    assert made.keys() == wanted.keys()
    worst = max(float((made[k] - wanted[k]).abs().max() / wanted[k].abs().max().clamp(min=1e-6)) for k in wanted)
    assert worst <= most


def test_a_quantised_t5_serves_a_quantised_denoiser(sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    single_files.comfy_layout(models, sources["flux"], "flux")
    (models / "text_encoders/t5xxl_fp16.safetensors").unlink()
    t5 = single_files.components_of(sources["flux"])["text_encoder_2"]
    single_files.gguf_file(
        models / "text_encoders/t5-v1_1-xxl-encoder-Q8_0.gguf", t5_llama_names(t5), "t5encoder", "Q8_0"
    )
    kinds = {info.id: (info.kind, info.variant, info.problem) for info in Catalog((models,), None).models()}
    assert kinds["text_encoders/t5-v1_1-xxl-encoder-Q8_0"] == ("text_encoder", "t5xxl", None)
    made = single_files.components_of(imported(models, "diffusion_models/flux1-dev"))["text_encoder_2"].state_dict()
    wanted = t5.state_dict()
    worst = max(float((made[k] - wanted[k]).abs().max() / wanted[k].abs().max().clamp(min=1e-6)) for k in wanted)
    assert worst <= 0.01


def test_what_is_nowhere_is_named_with_the_folder_to_fetch(sources: dict[str, Path], models: Path) -> None:
    single_files.comfy_layout(models, sources["flux"], "flux")
    shutil.rmtree(models / "vae")
    single_files.tokenizer_folders(models, sources["flux"], None)
    (info,) = (info for info in Catalog((models,), None).models() if info.kind == "checkpoint")
    assert info.problem == (
        "The file lacks its VAE and the tokenizer of its text encoder, and nothing else here has it. Fetch "
        "tokenizer_2/, vae/ and model_index.json of black-forest-labs/FLUX.1-dev into models/FLUX.1-dev/ (or, of the "
        "weights, files as ComfyUI keeps them: vae/ae.safetensors)."
    )
    with pytest.raises(ModelError, match="does not carry T5's tokenizer, and none was found here"):
        imported(models, info.id)


def test_weights_packed_for_another_library_are_refused(sources: dict[str, Path], models: Path) -> None:
    single_files.tokenizer_folders(models, sources["flux"], "tokenizer_2")
    file = single_files.comfy_layout(models, sources["flux"], "flux")
    tensors = flux_original(single_files.components_of(sources["flux"])["transformer"])
    tensors["double_blocks.0.img_mlp.0.weight"] = torch.zeros(512, 128, dtype=torch.int8)
    save(file, tensors)
    with pytest.raises(ModelError, match=r"quantised in a way that is not read here \(I8"):
        imported(models, "diffusion_models/flux1-dev")
    assert not list((models.parent / "imported").glob("*partial*"))


def requested(info: ModelInfo) -> GenerationRequest:
    return GenerationRequest(model=info.id, prompt="a red heart", steps=2, width=SIZE, height=SIZE, seed=5)


def bare(folder: Path, arguments: dict[str, Any], seed: int) -> np.ndarray:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return np.asarray(pipeline(**arguments, generator=torch.Generator().manual_seed(seed)).images[0].convert("RGB"))


def same_weights(made: Path, wanted: Path) -> bool:
    one, other = single_files.components_of(made), single_files.components_of(wanted)
    modules = [name for name, part in other.items() if isinstance(part, torch.nn.Module)]
    return all(
        torch.equal(tensor, one[name].state_dict()[key])
        for name in modules
        for key, tensor in other[name].state_dict().items()
    )
