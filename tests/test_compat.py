"""What is set before torch is loaded: threads that share a busy machine, no code from a model's folder, right gradients."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio import compat
from tests.sweeps import one_in

THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_DYNAMIC", "OMP_THREAD_LIMIT", "OMP_NUM_THREADS")
# Ends the program at its first import of torch, with what torch would find in the environment.
AT_TORCH = """
import os, sys
class AtTorch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("DIFFUSERS_DISABLE_REMOTE_CODE"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, AtTorch())
"""
WORKER = """
from studio.core.settings import Settings
from studio.worker import Worker
from pathlib import Path
Worker(None, None, Settings(outputs=Path(sys.argv[1])))
"""
ENTRIES = {
    "worker": WORKER,
    "generate": "from studio.__main__ import main; main(['generate', 'a cat', '--outputs', sys.argv[1]])",
    "train": "from studio.__main__ import main; main(['train', 'presets/training/starter-text.yaml', '--run', sys.argv[1]])",
    "evaluate": "from studio.__main__ import main; main(['evaluate', 'adherence'])",
}


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in THREADS}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], env=bare | environment, capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_has_set_the_process_up_before_torch_is_loaded(entry: str, tmp_path: Path) -> None:
    assert run(AT_TORCH + ENTRIES[entry], str(tmp_path)).stdout.split() == [compat.SPINS, "true"]


def test_the_collector_rests_only_while_libraries_are_loaded() -> None:
    with compat.loading_libraries():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > 0
    gc.unfreeze()


def set_by(**own: str) -> dict[str, str]:
    environment = dict(own)
    compat._set_threads(environment)
    return environment


def test_a_persons_own_way_of_waiting_stays() -> None:
    assert set_by() == {"GOMP_SPINCOUNT": compat.SPINS}
    assert set_by(GOMP_SPINCOUNT="7") == {"GOMP_SPINCOUNT": "7"}
    assert set_by(OMP_WAIT_POLICY="ACTIVE") == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_a_limit_of_threads_becomes_the_number_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert set_by(OMP_THREAD_LIMIT="3")["OMP_NUM_THREADS"] == "3"
    assert set_by(OMP_THREAD_LIMIT="3", OMP_NUM_THREADS="2")["OMP_NUM_THREADS"] == "2"
    assert set_by(OMP_THREAD_LIMIT="3", OMP_NUM_THREADS="6,2")["OMP_NUM_THREADS"] == "3"
    assert "OMP_THREAD_LIMIT" not in set_by(OMP_THREAD_LIMIT="3")


@pytest.mark.parametrize(
    "setting", one_in(2, [{"OMP_DYNAMIC": "TRUE"}, {"OMP_THREAD_LIMIT": "1"}]), ids=lambda setting: next(iter(setting))
)
def test_gradients_are_right_under_settings_that_give_torch_fewer_threads_than_it_asks_for(
    setting: dict[str, str],
) -> None:
    script = """
from studio import compat
compat.prepare()
import torch
x, w = torch.randn(4, 32, 32, 32), torch.randn(32, 32, 3, 3)
def gradient():
    weight = w.clone().requires_grad_()
    torch.nn.functional.conv2d(x, weight, padding=1).square().mean().backward()
    return weight.grad
asked = torch.get_num_threads()
many = gradient()
torch.set_num_threads(1)
assert torch.allclose(many, gradient(), rtol=1e-3, atol=1e-4), asked
print(asked)
"""
    result = run(script, OMP_NUM_THREADS="2", **setting)
    assert int(result.stdout) == (1 if "OMP_THREAD_LIMIT" in setting else 2)
    assert ("OMP_DYNAMIC=true was ignored" in result.stderr) == ("OMP_DYNAMIC" in setting)
