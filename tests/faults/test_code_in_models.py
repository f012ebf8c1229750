"""A model's folder may hold Python code, as some published ones do. None of it is ever run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import StudioError
from studio.core.settings import Settings
from studio.manager.manager import Manager
from tests.models import tiny_models

compat.prepare()

CODE = """
import pathlib
pathlib.Path({canary!r}).touch()
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
class Own{name}({name}):
    pass
"""


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def write_code(file: Path, name: str, canary: Path) -> None:
    file.write_text(CODE.format(name=name, canary=str(canary)))


def own_pipeline(folder: Path, canary: Path) -> None:
    write_code(folder / "pipeline.py", "StableDiffusionPipeline", canary)
    change(folder / "model_index.json", _class_name=["pipeline", "OwnStableDiffusionPipeline"])


def own_pipeline_beside_a_known_one(folder: Path, canary: Path) -> None:
    """diffusers' `custom_pipeline` is a pipeline.py in the folder."""
    write_code(folder / "pipeline.py", "StableDiffusionPipeline", canary)


def own_unet(folder: Path, canary: Path) -> None:
    write_code(folder / "unet" / "own.py", "UNet2DConditionModel", canary)
    change(folder / "model_index.json", unet=["own", "OwnUNet2DConditionModel"])


def unet_that_names_its_class(folder: Path, canary: Path) -> None:
    write_code(folder / "unet" / "own.py", "UNet2DConditionModel", canary)
    change(folder / "unet" / "config.json", auto_map={"AutoModel": "own.OwnUNet2DConditionModel"})


def text_encoder_that_names_its_class(folder: Path, canary: Path) -> None:
    write_code(folder / "text_encoder" / "own.py", "CLIPTextModel", canary)
    names = {"AutoConfig": "own.OwnCLIPTextConfig", "AutoModel": "own.OwnCLIPTextModel"}
    change(folder / "text_encoder" / "config.json", auto_map=names, architectures=["OwnCLIPTextModel"])


def tokenizer_that_names_its_class(folder: Path, canary: Path) -> None:
    write_code(folder / "tokenizer" / "own.py", "CLIPTokenizer", canary)
    names = {"AutoTokenizer": ["own.OwnCLIPTokenizer", None]}
    change(folder / "tokenizer" / "tokenizer_config.json", auto_map=names, tokenizer_class="OwnCLIPTokenizer")


def module_of_a_librarys_name(folder: Path, canary: Path) -> None:
    """The folder must not become a place that modules are imported from."""
    for name in ("scheduler", "diffusers", "transformers"):
        write_code(folder / f"{name}.py", "DDIMScheduler", canary)
    write_code(folder / "scheduler" / "own.py", "DDIMScheduler", canary)
    change(folder / "model_index.json", scheduler=["scheduler", "OwnDDIMScheduler"])


@pytest.mark.parametrize(
    "add_code",
    [
        own_pipeline,
        own_pipeline_beside_a_known_one,
        own_unet,
        unet_that_names_its_class,
        text_encoder_that_names_its_class,
        tokenizer_that_names_its_class,
        module_of_a_librarys_name,
    ],
)
def test_code_in_a_models_folder_is_never_run(
    add_code: Callable[[Path, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary, folder = tmp_path / "the code ran", tmp_path / "models" / "coded"
    tiny_models.stable_diffusion(folder)
    add_code(folder, canary)
    monkeypatch.chdir(folder)  # a person may start the studio from there
    manager = Manager(Settings(models=(tmp_path / "models",), outputs=tmp_path / "outputs", device="cpu"))
    for info in manager.catalog.models():
        try:
            with manager.lease(info, "fp32") as loaded:
                loaded.pipeline()
        except StudioError:
            pass  # refused, which is as good
    assert not canary.exists()
