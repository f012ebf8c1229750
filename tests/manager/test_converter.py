"""A single file becomes a diffusers folder once, in the run's dtype; what it lacks is named; the original stays as it was."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studio import compat
from studio.__main__ import main
from studio.core.errors import ModelError, StorageError
from studio.core.settings import Settings
from studio.manager.conversion import converter
from studio.manager.disk.describe import describe
from studio.manager.families import FAMILIES
from studio.manager.manager import Manager
from tests.manager import small_child
from tests.models import single_files, tiny_models
from tests.models.conversions import convert_here
from tests.models.sparse_headers import unet, write_sparse

compat.prepare()
import torch  # noqa: E402


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SD in diffusers' layout, and below it the same as one file."""
    folder = tiny_models.stable_diffusion(tmp_path_factory.mktemp("source") / "sd", vae="kl", tokens=77)
    single_files.sd1_checkpoint(folder.parent / "single/tiny.safetensors", folder)
    return folder


@pytest.fixture
def manager(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """A manager whose SD 1 is as small as the test's: text of width 32, a vocabulary of a few hundred words."""
    models = tmp_path / "models"
    shutil.copytree(source.parent / "single", models / "checkpoints")
    single_files.clip_files(models / "tokenizers/clip")
    small_child.shrink(monkeypatch, "sd1", source)
    convert_here(monkeypatch)
    return Manager(Settings(models=(models,), outputs=tmp_path / "out", device="cpu"))


def picture(pipeline: Any) -> Any:
    return pipeline(
        "a large red heart", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(3)
    ).images


def test_a_single_file_makes_the_very_image_of_its_folder(manager: Manager, source: Path) -> None:
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    (info,) = manager.catalog.models()
    assert (info.kind, info.family, info.problem) == ("checkpoint", "sd1", None)
    original = hashlib.sha256(manager.catalog.path(info.id).read_bytes()).hexdigest()
    with manager.lease(info, "fp32") as loaded:
        made = picture(loaded.pipeline())
        schedule = PNDMScheduler.from_config(loaded.components["scheduler"].config)  # the family's: a file holds none
    assert type(loaded.components["scheduler"]) is PNDMScheduler
    bare = StableDiffusionPipeline.from_pretrained(source, local_files_only=True, scheduler=schedule)
    assert (made == picture(bare)).all()
    assert hashlib.sha256(manager.catalog.path(info.id).read_bytes()).hexdigest() == original


def test_it_is_converted_once_for_each_dtype(manager: Manager) -> None:
    (info,) = manager.catalog.models()
    for dtype in ("fp32", "fp32", "bf16"):
        with manager.lease(info, dtype):
            pass
    folders = [path for path in (manager.settings.outputs / ".unnoise/imported").iterdir() if path.is_dir()]
    assert len(folders) == 2
    from safetensors import safe_open

    kinds = set()
    for folder in folders:
        with safe_open(folder / "unet/diffusion_pytorch_model.safetensors", "pt") as file:
            kinds.add(file.get_tensor("conv_in.weight").dtype)
    assert kinds == {torch.float32, torch.bfloat16}


def test_where_fp32_is_faster_a_file_is_converted_once_and_its_family_measured_once(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.engine import precision

    measured = []
    monkeypatch.setattr(precision, "has_bf16", lambda: True)  # or fp32 is chosen without a measurement
    monkeypatch.setattr(precision, "likely", lambda: precision.FULL)
    monkeypatch.setattr(precision, "measure", lambda loaded: measured.append(loaded.dtype) or precision.FULL)
    file = manager.catalog.path("checkpoints/tiny")
    assert file is not None
    shutil.copyfile(file, file.with_name("another.safetensors"))
    for info in manager.catalog.models():
        found = precision.choose("auto", info, manager, tmp_path / "kept")
        with manager.lease(info, found.dtype, channels_last=found.channels_last):
            pass
    assert measured == [torch.float32]
    imported = [path for path in (manager.settings.outputs / ".unnoise/imported").iterdir() if path.is_dir()]
    assert len(imported) == 2


def test_a_conversion_that_fails_leaves_nothing_behind(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    (info,) = manager.catalog.models()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converter, "convert", full)
    with pytest.raises(StorageError, match="could not be converted: No space left"), manager.lease(info, "fp32"):
        pass
    assert [path.name for path in (manager.settings.outputs / ".unnoise/imported").iterdir()] == [".lock"]
    monkeypatch.undo()


def test_too_little_room_is_told_before_anything_is_written(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    (info,) = manager.catalog.models()
    monkeypatch.setattr(converter.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"needs .* GiB on disk; 0.0 GiB are free"), manager.lease(info, "fp32"):
        pass


def test_a_file_that_lacks_tensors_is_refused_by_name(manager: Manager) -> None:
    from safetensors.torch import load_file, save_file

    (info,) = manager.catalog.models()
    file = manager.catalog.path(info.id)
    tensors = load_file(file)
    del tensors["model.diffusion_model.time_embed.0.weight"]
    save_file(tensors, file)
    (info,) = manager.catalog.models()
    with pytest.raises(ModelError, match=r"unet in tiny\.safetensors"), manager.lease(info, "fp32"):
        pass


def test_without_a_tokenizer_the_message_names_what_to_fetch_and_where_to(manager: Manager) -> None:
    shutil.rmtree(manager.settings.models[0] / "tokenizers")
    (info,) = manager.catalog.models()
    wanted = r"openai/clip-vit-large-patch14 into models/tokenizers/clip/"
    with pytest.raises(ModelError, match=wanted), manager.lease(info, "fp32"):
        pass


def test_markers_of_v_prediction_reach_the_scheduler(manager: Manager) -> None:
    from safetensors.torch import load_file, save_file

    (info,) = manager.catalog.models()
    file = manager.catalog.path(info.id)
    save_file(load_file(file) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, file)
    (info,) = manager.catalog.models()
    with manager.lease(info, "fp32") as loaded:
        config = loaded.components["scheduler"].config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == ("v_prediction", True)


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl"])
def test_the_built_in_configurations_build_their_models(name: str, tmp_path: Path) -> None:
    """On the meta device: every key is understood, and the sizes are the published ones."""
    from studio.manager.loading import component_class

    blueprint = FAMILIES.get(name).blueprint
    millions = {}
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if part not in blueprint.parts:
            continue
        cls = component_class(*blueprint.parts[part])
        with torch.device("meta"):
            if blueprint.parts[part][0] == "diffusers":
                module = cls.from_config(blueprint.configs[part])
            else:
                module = cls(cls.config_class(**blueprint.configs[part]))
        millions[part] = round(sum(p.numel() for p in module.parameters()) / 1e6)
    assert (
        millions
        == {
            "sd1": {"unet": 860, "vae": 84, "text_encoder": 123},
            "sd2": {"unet": 866, "vae": 84, "text_encoder": 340},
            "sdxl": {"unet": 2567, "vae": 84, "text_encoder": 123, "text_encoder_2": 695},
        }[name]
    )


def test_a_checkpoint_is_described_without_being_converted(tmp_path: Path) -> None:
    shapes = unet(768) | {
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
    }
    info = describe(write_sparse(tmp_path / "v1-5.safetensors", shapes), "v1-5")
    assert (info.family, info.capabilities.tasks[0], info.problem) == ("sd1", "text_to_image", None)
    assert os.listdir(tmp_path) == ["v1-5.safetensors"]


def import_command(manager: Manager, *arguments: str) -> int:
    settings = manager.settings
    folders = ("--only-models", str(settings.models[0]), "--outputs", str(settings.outputs), "--device", "cpu")
    return main(["models", "import", *arguments, *folders])


def test_the_command_prepares_a_model_and_says_where(manager: Manager, capsys: pytest.CaptureFixture[str]) -> None:
    assert import_command(manager, "tiny", "--dtype", "fp16", "--json") == 0
    printed = capsys.readouterr()
    told, steps = json.loads(printed.out), [json.loads(line) for line in printed.err.splitlines() if line[0] == "{"]
    assert (told["model"], told["dtype"]) == ("checkpoints/tiny", "fp16")
    assert (Path(told["folder"]) / "model_index.json").is_file() and manager.prepared() == ("checkpoints/tiny",)
    assert steps and steps[0].keys() == {"what", "fraction"}
    assert import_command(manager, "tiny", "--dtype", "fp16") == 0
    assert capsys.readouterr().out.strip() == told["folder"]


def test_the_command_refuses_what_it_cannot_prepare(
    manager: Manager, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(source, manager.settings.models[0] / "folder")
    file = shutil.copy(manager.catalog.path("checkpoints/tiny"), tmp_path / "stray.safetensors")
    for order, said in {
        "folder": "folder is a folder already, which is used as it is.",
        str(file): "stray.safetensors lies outside the models folders; name its folder with --models.",
        "nothing": "Unknown model 'nothing'.",
    }.items():
        assert import_command(manager, order) != 0
        assert capsys.readouterr().err.startswith(said)
