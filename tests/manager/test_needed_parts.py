"""What a folder's pipeline cannot do without is missed when the folder is listed, not when somebody waits for a picture."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.manager.disk.catalog import Catalog
from tests.models import tiny_models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.stable_diffusion(tmp_path_factory.mktemp("made") / "m")


def unnamed(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        index = json.loads((folder / "model_index.json").read_text())
        del index[part]
        (folder / "model_index.json").write_text(json.dumps(index))

    return spoil


def empty(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {part: [None, None]}))

    return spoil


def config(file: str, **changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))

    return spoil


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (unnamed("unet"), "Its model_index.json names no unet"),
        (empty("unet"), "Its model_index.json names no unet"),
        (unnamed("vae"), "Its model_index.json names no vae"),
        (lambda folder: [file.unlink() for file in (folder / "unet").iterdir()], "Its unet has no weights."),
        (unnamed("scheduler"), "Its model_index.json names no scheduler"),
        (empty("text_encoder"), "Its model_index.json names no text_encoder"),
        (unnamed("tokenizer"), "Its model_index.json names no tokenizer"),
        (without("tokenizer/tokenizer.json"), "Its tokenizer has no vocabulary"),
        (
            config("tokenizer/tokenizer_config.json", model_max_length="x"),
            "Its tokenizer is set to model_max_length = 'x'",
        ),
        (config("vae/config.json", scaling_factor="x"), "scaling_factor = 'x', which is not a number"),
    ],
)
def test_a_folder_that_lacks_a_part_is_listed_with_what_it_lacks(
    spoil: Callable[[Path], None], told: str, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "models/m")
    spoil(tmp_path / "models/m")
    (info,) = Catalog((tmp_path / "models",), None).models()
    assert told in (info.problem or "")


def test_clip_s_vocabulary_may_be_two_files_as_it_was_published(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "models/m")
    table = json.loads((folder / "tokenizer/tokenizer.json").read_text())["model"]
    (folder / "tokenizer/tokenizer.json").unlink()
    (folder / "tokenizer/vocab.json").write_text(json.dumps(table["vocab"]))
    (folder / "tokenizer/merges.txt").write_text("\n".join(" ".join(pair) for pair in table["merges"]))
    (info,) = Catalog((tmp_path / "models",), None).models()
    assert info.problem is None
