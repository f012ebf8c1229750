"""A pickle is never read without a yes, and with one only its tensors come out; hidden code does not run."""

import contextlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import ModelError, StorageError
from studio.manager.conversion import pickles
from studio.manager.conversion.pickles import convert_pickle
from studio.manager.disk.describe import describe

compat.prepare()
import torch  # noqa: E402


class Evil:
    """Unpickling it makes the canary file."""

    def __init__(self, canary: Path):
        self.canary = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.canary,)


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work is done here, where that it is a process of its own is not what is tested."""

    def run(command: list[str], **_: Any) -> Any:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = pickles.main(command[-2:])
        return subprocess.CompletedProcess(command, status, out.getvalue(), "")

    monkeypatch.setattr(pickles.subprocess, "run", run)


def converted_here(source: Path) -> Path:
    target = source.with_suffix(".safetensors")
    assert pickles.main([str(source), str(target)]) == 0
    return target


def test_an_honest_checkpoint_becomes_safetensors_beside_itself(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    weight = torch.randn(3, 4)
    source = tmp_path / "model.ckpt"
    torch.save({"state_dict": {"a.weight": weight}, "epoch": 3}, source)
    before = source.read_bytes()
    made = convert_pickle(source, consent=True)
    assert made == tmp_path / "model.safetensors"
    assert load_file(made)["a.weight"].equal(weight)
    assert source.read_bytes() == before
    assert describe(made, "model").dtype == "fp32"
    with pytest.raises(StorageError, match="there already"):
        convert_pickle(source, consent=True)


def test_without_consent_nothing_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="only if you trust"):
        convert_pickle(tmp_path / "model.ckpt", consent=False)


@pytest.mark.parametrize(
    "name",
    [
        "model.ckpt",
        pytest.param("model.pt", marks=pytest.mark.sweep),
        pytest.param("model.bin", marks=pytest.mark.sweep),
        "renamed.safetensors",
    ],
)
def test_hidden_code_never_runs(name: str, no_child: None, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hook": Evil(canary)}, tmp_path / name)
    info = describe(tmp_path / name, "model")
    assert "a pickle file, which can run code" in (info.problem or "")
    if not name.endswith(".safetensors"):
        with pytest.raises(ModelError, match=r"it wants to call posix\.mkdir"):
            convert_pickle(tmp_path / name, consent=True)
    assert not canary.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_a_pickle_under_a_safetensors_name_is_converted_beside_it(no_child: None, tmp_path: Path) -> None:
    source = tmp_path / "renamed.safetensors"
    torch.save({"a": torch.ones(2)}, source)
    assert convert_pickle(source, consent=True).name == "renamed.converted.safetensors"


def test_safetensors_under_a_pickle_s_name_needs_no_conversion(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"emb_params": torch.ones(2, 768)}, tmp_path / "model.ckpt")
    assert describe(tmp_path / "model.ckpt", "m").problem is None
    with pytest.raises(ModelError, match="is no pickle; it can be used as it is"):
        convert_pickle(tmp_path / "model.ckpt", consent=True)


def test_what_trainers_leave_in_checkpoints_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first published checkpoints name a callback of Lightning and numbers of numpy's; they do no harm unbuilt."""
    import types

    import numpy
    from safetensors.torch import load_file

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    held = {
        "state_dict": {"w": torch.ones(2)},
        "callbacks": {callback: {"best": numpy.float64(0.5)}},
        "made": callback(),
    }
    torch.save(held, tmp_path / "sd-v1-4.ckpt")
    assert load_file(converted_here(tmp_path / "sd-v1-4.ckpt")).keys() == {"w"}


@pytest.mark.parametrize("kind", [dict, torch.nn.ParameterDict])
def test_an_embedding_of_textual_inversion_becomes_one_of_today_s(kind: type, tmp_path: Path) -> None:
    vectors = kind({"*": torch.nn.Parameter(torch.randn(3, 768))})
    torch.save({"string_to_token": {"*": 265}, "string_to_param": vectors, "name": "cat"}, tmp_path / "cat.pt")
    info = describe(converted_here(tmp_path / "cat.pt"), "cat")
    assert (info.kind, info.family, info.problem) == ("embedding", "sd1", None)


def test_an_archive_that_swells_is_not_unpacked(no_child: None, tmp_path: Path) -> None:
    bomb = zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with bomb, bomb.open("archive/data.pkl", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    with pytest.raises(ModelError, match="unpacks to far more than it holds"):
        convert_pickle(tmp_path / "bomb.ckpt", consent=True)


def test_old_pickles_and_broken_ones_are_refused(no_child: None, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps(Evil(canary)))
    with pytest.raises(ModelError, match="in the old format"):
        convert_pickle(tmp_path / "old.ckpt", consent=True)
    with zipfile.ZipFile(tmp_path / "odd.ckpt", "w") as file:
        file.writestr("nothing", "here")
    with pytest.raises(ModelError, match="could not be converted"):
        convert_pickle(tmp_path / "odd.ckpt", consent=True)
    assert not canary.exists()
