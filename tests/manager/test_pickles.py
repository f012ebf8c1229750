"""A pickle is never read without a yes, and with one only its tensors come out; hidden code does not run."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import ModelError, StorageError
from studio.manager.files import describe_file
from studio.manager.pickles import convert_pickle

compat.prepare()
import torch  # noqa: E402


class Evil:
    """Unpickling it makes the canary file."""

    def __init__(self, canary: Path):
        self.canary = str(canary)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.canary,)


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
    assert describe_file(made, "model").dtype == "fp32"
    with pytest.raises(StorageError, match="there already"):
        convert_pickle(source, consent=True)


def test_without_consent_nothing_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="only if you trust"):
        convert_pickle(tmp_path / "model.ckpt", consent=False)


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "renamed.safetensors"])
def test_hidden_code_never_runs(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hook": Evil(canary)}, tmp_path / name)
    info = describe_file(tmp_path / name, "model")
    assert "a pickle file, which can run code" in (info.problem or "")
    if not name.endswith(".safetensors"):
        with pytest.raises(ModelError, match=r"it wants to call posix\.mkdir"):
            convert_pickle(tmp_path / name, consent=True)
    assert not canary.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_old_pickles_and_broken_ones_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "old.ckpt").write_bytes(pickle.dumps(Evil(canary)))
    with pytest.raises(ModelError, match="of the old kind"):
        convert_pickle(tmp_path / "old.ckpt", consent=True)
    with zipfile.ZipFile(tmp_path / "odd.ckpt", "w") as file:
        file.writestr("nothing", "here")
    with pytest.raises(ModelError, match="could not be converted"):
        convert_pickle(tmp_path / "odd.ckpt", consent=True)
    assert not canary.exists()
