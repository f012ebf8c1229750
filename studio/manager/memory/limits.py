"""How much memory there is: the device's, the process's own limits (cgroup first), and what the process has taken.

Reads /proc and asks the driver. Does not depend on what the memory is for; no torch until a CUDA device is asked about.
"""

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

HEADROOM = 1 << 30
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 for "no limit"


def host_limit() -> int | None:
    """The least of the limits set on this process: cgroup, RLIMIT_DATA, RLIMIT_AS; None if it has none."""
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    for file in _cgroup_files():
        try:
            limits.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min((limit for limit in limits if 0 < limit < UNLIMITED), default=None)


def _cgroup_files() -> set[Path]:
    """Where this process's memory limits are written: its own cgroup and those above it, of either version."""
    found = {CGROUPS / "memory.max", CGROUPS / "memory" / "memory.limit_in_bytes"}
    for line in _lines("/proc/self/cgroup"):
        _, controllers, own = line.split(":", 2)
        if controllers in ("", "memory"):
            root, group = CGROUPS / controllers, CGROUPS / controllers / own.lstrip("/")
            file = "memory.limit_in_bytes" if controllers else "memory.max"
            found |= {place / file for place in (group, *group.parents) if place.is_relative_to(root)}
    return found


def budget_for(device: Any, asked: int | None, held: int, base: int = 0) -> int:
    """Bytes that models and their working memory may take on `device`, of which `held` are taken now; `base` is what the
    process held before its first model.

    What was asked for, capped by what the device has less a headroom. On the CPU a limit set on the process counts all
    that the process holds, so what it holds beside models is taken off.
    """
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        most = free + torch.cuda.memory_reserved(device) - _headroom(total) // 2
    else:
        # Weights that are mapped but not yet touched count as held and not as taken, hence never less than the base.
        most = host_budget(max(taken() - held, base))
    return max(most if asked is None else min(most, asked), 0)


def host_budget(beside: int = 0) -> int:
    """What the machine's memory, and the limits set on this process, leave to models; `beside` is held by other things."""
    total, limit = psutil.virtual_memory().total, host_limit()
    free = total - _headroom(total)
    return free if limit is None else min(free, limit - _headroom(limit) // 4 - beside)


def _headroom(total: int) -> int:
    """What is left to everything else: 1 GiB, or a fifth of a small machine."""
    return min(HEADROOM, total // 5)


def free(device: Any) -> int:
    """Bytes that could be had on the device this moment."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    limit, available = host_limit(), psutil.virtual_memory().available
    return available if limit is None else max(min(available, limit - taken()), 0)


def taken() -> int:
    """Bytes this process holds: resident pages, or private data where that is more."""
    info = psutil.Process().memory_info()
    return max(info.rss, getattr(info, "data", 0) if resource.getrlimit(resource.RLIMIT_DATA)[0] > 0 else 0)


def anonymous() -> int:
    """Bytes of memory that no file backs: what a leak would grow."""
    return _status("RssAnon")


def give_back() -> None:
    """Memory that allocators keep free goes back to the device and to the system: by malloc_trim(3), where libc has it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def measure_peak(device: Any, *, exact: bool = False) -> Callable[[], int | None]:
    """Begin to measure; what is returned gives the most memory taken since, above what is taken now, or None where that
    cannot be measured. `exact`: what allocators kept of earlier runs goes back first, so that it hides nothing."""
    if exact:
        give_back()
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return lambda: max(torch.cuda.max_memory_allocated(device) - before, 0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux lets a process reset its own peak (proc(5))
    except OSError:
        return lambda: None
    start = _status("VmRSS")
    return lambda: max(_status("VmHWM") - start, 0)


def _status(name: str) -> int:
    """A memory figure of /proc/self/status in bytes; 0 where there is none."""
    found = (int(line.split()[1]) * 1024 for line in _lines("/proc/self/status") if line.startswith(name + ":"))
    return next(found, 0)


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []
