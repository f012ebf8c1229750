"""Files of any name that a disk takes are listed, converted, run and swept like others, and told of in words that can be shown."""

import os
import shutil
from pathlib import Path

import pytest

from studio.core.errors import ModelError
from studio.core.options import find_model
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.describe import NO_TEXT
from studio.manager.manager import Manager
from tests.manager.test_converter import manager, source
from tests.models.sparse_headers import CASES, write_sparse

__all__ = ["manager", "source"]  # fixtures: a manager whose SD 1 is as small as its one file

NAMES = {
    "lines": b"two\nlines\r\x1b[31m",
    "quotes": b'it\'s "so" `$HOME` %s {x} \\n',
    "emoji": "\U0001f469\u200d\U0001f3a8 model \U0001f680".encode(),
    "four bytes a letter": ("\U0001d4d0" * 57).encode(),
    "all that a disk takes": b"n" * 240,
    "three bytes a letter": ("\u6c34" * 80).encode(),
    "right to left": "\u202egnp.exe \u05e9\u05dc\u05d5\u05dd".encode(),
    "spaces and dots": b" ..  x . ",
    "a flag": b"--help",
    "a word of ours": b"default",
    "a partial": b"x.partial-1",
    "another suffix": b"model.safetensors.ckpt",
}


FEW = ("lines", "all that a disk takes", "a partial")


@pytest.mark.parametrize("case", [pytest.param(name, marks=() if name in FEW else pytest.mark.sweep) for name in NAMES])
def test_a_file_of_any_name_is_listed_converted_and_swept(
    case: str, manager: Manager, capfd: pytest.CaptureFixture[str]
) -> None:
    file = manager.catalog.path("checkpoints/tiny")
    assert file is not None
    place = file.parent / os.fsdecode(NAMES[case] + b".safetensors")
    file.rename(place)
    (info,) = manager.catalog.models()
    assert (info.problem, info.family) == (None, "sd1")
    (info.id + info.title).encode()
    assert "\n" not in info.id and "\x1b" not in info.title
    assert find_model([info], info.id) is info
    with manager.lease(info, "fp32") as loaded:
        assert loaded.components["unet"].dtype.itemsize == 4
    assert manager.prepared() == (info.id,)
    manager.sweep()
    assert manager.prepared() == (info.id,), "it is still of use"
    place.unlink()
    manager.sweep()
    imported = manager.settings.outputs / ".unnoise/imported"
    assert [path.name for path in imported.iterdir()] == [".lock"]


def test_a_file_of_a_strange_name_is_refused_in_words_that_can_be_shown(manager: Manager) -> None:
    file = manager.catalog.path("checkpoints/tiny")
    assert file is not None
    place = file.rename(file.with_name(os.fsdecode(b"\xff\n.safetensors")))
    (info,) = manager.catalog.models()
    assert (info.title, info.family, info.problem) == ("\ufffd\ufffd", "sd1", NO_TEXT)
    os.truncate(place, place.stat().st_size - 10)
    (info,) = manager.catalog.models()
    assert "incomplete" in (info.problem or "")
    with pytest.raises(ModelError, match="cannot be used"), manager.lease(info, "fp32"):
        pass


def test_names_that_differ_in_case_only_are_two(tmp_path: Path) -> None:
    for name in ("Model", "model", "MODEL"):
        write_sparse(tmp_path / f"m/{name}.safetensors", CASES["SD 1.5"][1])
    if len(list((tmp_path / "m").iterdir())) < 3:
        pytest.skip("this disk knows no case")
    models = Catalog((tmp_path / "m",), tmp_path / "index.db").models()
    assert {info.id for info in models} == {"Model", "model", "MODEL"}
    assert find_model(models, "MODEL").title == "MODEL"


def test_names_that_look_alike_once_shown_stay_apart(tmp_path: Path) -> None:
    """What cannot be shown becomes one and the same sign; ids are still each other's, and the same at the next scan."""
    for name in ("a\nb", "a\tb", "a\x1bb", "a\u202eb"):
        write_sparse(tmp_path / f"m/{name}.safetensors", CASES["SD 1.5"][1])
    catalog = Catalog((tmp_path / "m",), tmp_path / "index.db")
    first = {info.id: catalog.path(info.id) for info in catalog.models()}
    assert len(first) == len(set(first.values())) == 4
    again = Catalog((tmp_path / "m",), tmp_path / "index.db")
    assert {info.id: again.path(info.id) for info in again.models()} == first


def test_the_word_for_any_model_is_no_model_s_id(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/default.safetensors", CASES["ESRGAN"][1])
    (info,) = Catalog((tmp_path / "m",), None).models()
    assert (info.id, info.title) == ("default.safetensors", "default")


def test_endings_in_capitals_and_unfinished_downloads(tmp_path: Path) -> None:
    write_sparse(tmp_path / "m/SHOUT.SAFETENSORS", CASES["SD 1.5"][1])
    for left in (
        "x.safetensors.part",
        "x.safetensors.crdownload",
        "x.safetensors.aria2",
        "x.safetensors.tmp",
        "._x.safetensors",
    ):
        shutil.copyfile(tmp_path / "m/SHOUT.SAFETENSORS", tmp_path / "m" / left)
    assert [info.id for info in Catalog((tmp_path / "m",), None).models()] == ["SHOUT"]
