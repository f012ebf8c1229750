"""How much memory there is: what a person set, what the device has, and what the process may take, whichever is least."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from studio.manager.memory import limits
from studio.manager.memory.limits import anonymous, budget_for, host_budget, host_limit

GIB = 1 << 30
CPU = torch.device("cpu")
NO_METER = sys.platform != "linux"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 GiB, of which this process holds one; no limits."""
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: type("M", (), {"total": 16 * GIB})())
    monkeypatch.setattr(limits, "taken", lambda: GIB)
    monkeypatch.setattr(limits, "host_limit", lambda: None)


@pytest.mark.usefixtures("machine")
def test_the_wish_holds_up_to_what_the_device_has() -> None:
    assert budget_for(CPU, 4 * GIB, 0) == 4 * GIB
    assert budget_for(CPU, 40 * GIB, 0) == budget_for(CPU, None, 0) == 15 * GIB


@pytest.mark.usefixtures("machine")
def test_a_limit_on_the_process_counts_all_that_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "host_limit", lambda: 4 * GIB)
    alone = budget_for(CPU, None, 0)
    assert 2.5 * GIB < alone < 3 * GIB  # less the GiB that is there, and a headroom
    assert budget_for(CPU, None, GIB // 2) == alone + GIB // 2  # half of what is there are models
    assert budget_for(CPU, None, 3 * GIB, base=GIB) == alone  # mapped, and not yet touched
    assert host_budget(10 * GIB) < 0
    assert budget_for(CPU, None, 0, base=10 * GIB) == 0


def test_the_cgroup_s_limit_is_read_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    unlimited = host_limit()
    (tmp_path / "memory.max").write_text(f"{3 * GIB}\n")
    assert host_limit() == min(3 * GIB, unlimited or 3 * GIB)
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text(f"{2 * GIB}\n")
    assert host_limit() == min(2 * GIB, unlimited or 2 * GIB)


def test_a_real_limit_is_seen() -> None:
    code = "import json; from studio.manager.memory.limits import host_limit; print(json.dumps(host_limit()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (GIB, GIB)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) <= GIB


def peak_of(script: str) -> int | None:
    """The peak that `script` measures, in MiB. In a process of its own: in one with a thousand tests behind it, what the
    allocator kept and what other threads do would be measured too."""
    head = "import json, types; from studio.manager.memory.limits import measure_peak; CPU = types.SimpleNamespace(type='cpu')\n"
    tail = "\npeak = measured(); print(json.dumps(peak and peak >> 20))"
    command = [sys.executable, "-c", head + script + tail]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_meter_sees_what_came_and_went() -> None:
    peak = peak_of("measured = measure_peak(CPU)\nthere = bytearray(64 << 20)\ndel there")
    assert peak is None if NO_METER else 60 < peak < 90
    assert anonymous() > 0


def test_an_exact_meter_is_not_fooled_by_what_the_allocator_kept() -> None:
    """Small blocks that were freed stay with the process, and a second run of the same kind would seem to take nothing."""
    run = "blocks = [b'x' * (32 << 10) for _ in range(2048)]; pin = blocks[-1]; del blocks"  # 64 MiB, the last of which stays
    for exact, least, most in ((False, 0, 8), (True, 56, 90)):
        peak = peak_of(f"{run}\nmeasured = measure_peak(CPU, exact={exact})\n{run}")
        assert peak is None if NO_METER else least <= peak < most
