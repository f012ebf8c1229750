"""A crash while a checkpoint is written leaves the one before whole; rubbish is refused."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from studio.core.errors import ModelError, StorageError
from studio.training import checkpoint

SLOW_WRITER = """
import sys, time, torch
from pathlib import Path
from studio.training import checkpoint

def slowly(state, file):
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)

torch.save = slowly
checkpoint.save(Path(sys.argv[1]), 2, {"step": 2})
"""


def test_killed_while_writing_the_last_whole_one_stands(tmp_path):
    checkpoint.save(tmp_path, 1, {"step": 1, "w": torch.arange(4)})
    writer = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"writing\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert [p.suffix for p in tmp_path.iterdir() if "00000002" in p.name] == [".part"]
    newest = checkpoint.newest(tmp_path)
    assert newest is not None
    assert checkpoint.load(newest)["step"] == 1


def test_a_failed_write_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    def full(state, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="No space left"):
        checkpoint.save(tmp_path, 1, {})
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_are_kept_in_order_of_steps(tmp_path):
    for step in (5, 100, 20, 1000):
        checkpoint.save(tmp_path, step, {"step": step}, keep=2)
    assert [p.name for p in checkpoint.paths(tmp_path)] == ["step-00000100.pt", "step-00001000.pt"]


def test_rubbish_and_pickled_code_are_refused(tmp_path):
    path = tmp_path / "step-00000001.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError):
        checkpoint.load(path)
    torch.save({"step": time.sleep}, path)
    with pytest.raises(ModelError):
        checkpoint.load(path)
