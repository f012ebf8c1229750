"""How much memory there is: the device's, the process's own limits (cgroup first), and what the process has taken.

Reads /proc and asks the driver; refuses to know what the memory is for.
"""

import ctypes
import resource
from pathlib import Path
from typing import Any

import psutil

HEADROOM = 1 << 30
CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 for "no limit"


def host_limit() -> int | None:
    """The least of the limits set on this process: cgroup, RLIMIT_DATA, RLIMIT_AS; None if it has none."""
    limits = [_read_number(file) for file in cgroup_files()]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    real = [limit for limit in limits if limit is not None and 0 < limit < UNLIMITED]
    return min(real, default=None)


def cgroup_files() -> list[Path]:
    """Where this process's memory limits are written: its own cgroup and those above it, of either version."""
    places = {CGROUPS / "memory.max", CGROUPS / "memory" / "memory.limit_in_bytes"}
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, kinds, own = line.split(":", 2)
        root, file = {"": (CGROUPS, "memory.max"), "memory": (CGROUPS / "memory", "memory.limit_in_bytes")}.get(
            kinds, (None, "")
        )
        if root is not None:
            group = root / own.lstrip("/")
            places |= {place / file for place in (group, *group.parents) if place.is_relative_to(root)}
    return sorted(places)


def _read_number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def headroom(total: int) -> int:
    """What is left to everything else: 1 GiB, or a fifth of a small machine."""
    return min(HEADROOM, total // 5)


def budget_for(device: Any, wish: int | None, held: int, base: int = 0) -> int:
    """Bytes that models and their working memory may take on `device`, of which `held` are taken now; `base` is what the
    process held before its first model.

    The person's wish, capped by what the device has less a headroom. On the CPU a limit set on the process counts all
    that the process holds, so what it holds beside models is taken off.
    """
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        most = free + torch.cuda.memory_reserved(device) - headroom(total) // 2
    else:
        # Weights that are mapped but not yet touched count as held and not as taken, hence never less than the base.
        most = host_budget(max(taken() - held, base))
    return max(min(most, wish) if wish is not None else most, 0)


def host_budget(beside: int = 0) -> int:
    """What the machine's memory, and the limits set on this process, leave to models; `beside` is held by other things."""
    total = psutil.virtual_memory().total
    limit = host_limit()
    free = total - headroom(total)
    return free if limit is None else min(free, limit - headroom(limit) // 4 - beside)


def free(device: Any) -> int:
    """Bytes that could be had on the device this moment."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    limit = host_limit()
    there = psutil.virtual_memory().available
    return there if limit is None else max(min(there, limit - taken()), 0)


def taken() -> int:
    """Bytes this process holds: resident pages, or private data where that is more."""
    info = psutil.Process().memory_info()
    return max(info.rss, getattr(info, "data", 0) if resource.getrlimit(resource.RLIMIT_DATA)[0] > 0 else 0)


class PeakMeter:
    """The most memory taken, above the start, while it runs; None where that cannot be measured."""

    def __init__(self, device: Any):
        self._device = device
        self._start: int | None = None

    def start(self, *, exact: bool = False) -> None:
        """`exact`: what the allocator kept of earlier runs goes back first, so that it cannot hide what this one takes."""
        if exact:
            give_back()
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
            self._start = torch.cuda.memory_allocated(self._device)
        elif _reset_peak():
            self._start = _status("VmRSS")

    def read(self) -> int | None:
        if self._start is None:
            return None
        if self._device.type == "cuda":
            import torch

            return max(torch.cuda.max_memory_allocated(self._device) - self._start, 0)
        return max(_status("VmHWM") - self._start, 0)


def give_back() -> None:
    """glibc gives the memory it holds free back to the system (malloc_trim(3)); other C libraries keep it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return


def _reset_peak() -> bool:
    """Linux lets a process reset its own peak of resident memory (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    """A memory figure of /proc/self/status in bytes; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)


def anonymous() -> int:
    """Bytes of memory that no file backs: what a leak would grow."""
    return _status("RssAnon")
