"""A worker held by a real limit runs a trace over five checkpoints that exceed it together.

    python benchmarks/limits.py [--limit 1400MiB] [--scale 0.5] [--jobs 15]

The child is put under a cgroup's memory limit where one can be made, else under RLIMIT_DATA. It leases the models in
turn and denoises a few steps with each; the parent prints what was killed, evicted and streamed, and the most memory
that the child held. On a CUDA machine the same runs under `set_per_process_memory_fraction`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import common
import torch
from checkpoints import write_checkpoint

from studio.core.models import ModelInfo
from studio.core.settings import Settings, parse_bytes
from studio.manager.manager import Manager
from studio.manager.memory.limits import CGROUPS, anonymous

MODELS = 5


def child(folder: Path, jobs: int, device: str, fraction: float) -> None:
    """Run the trace; print one JSON object."""
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(fraction)
    manager = Manager(Settings(models=(folder,), outputs=folder / ".out", device=device))
    infos = sorted(manager.catalog.models(), key=lambda info: info.id)
    most, budgets = 0, []
    for number in range(jobs):
        budgets.append(manager.budget())
        denoise(manager, infos[(number * 2) % len(infos)])
        most = max(most, anonymous())
    moves = [row["move"] for row in manager.ledger.recent]
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else most
    report = {"jobs": jobs, "peak": peak, "budget": min(budgets), "held": manager.residency.held()}
    print(json.dumps(report | {move: moves.count(move) for move in ("load", "evict", "stream")}))


def denoise(manager: Manager, info: ModelInfo) -> None:
    """Two forwards of the denoiser at the model's own size, as a run would make them."""
    with manager.lease(info, "bf16") as loaded, torch.no_grad():
        unet = loaded.components["unet"]
        side = unet.config.sample_size // 2
        x = torch.randn(2, 4, side, side, dtype=loaded.dtype, device=loaded.device)
        text = torch.randn(2, 77, unet.config.cross_attention_dim, dtype=loaded.dtype, device=loaded.device)
        for t in (999, 500):
            unet(x, t, encoder_hidden_states=text)


def under_limit(limit: int) -> tuple[str, Callable[[], None], Callable[[], int | None], Callable[[], None]]:
    """(which limit, what the child does first, what the kernel says its peak was, what to clean up)."""
    for root, file, peak in (
        (CGROUPS / "memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
        (CGROUPS, "memory.max", "memory.peak"),
    ):
        group = root / f"unnoise-{os.getpid()}"
        try:
            group.mkdir()
            (group / file).write_text(str(limit))
        except OSError:
            continue
        return (
            f"cgroup {file}",
            lambda group=group: (group / "cgroup.procs").write_text(str(os.getpid())),
            lambda group=group, peak=peak: int((group / peak).read_text()),
            group.rmdir,
        )
    return (
        "RLIMIT_DATA",
        lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        lambda: None,
        lambda: None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", default="1400MiB")
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "unnoise-limits")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--fraction", type=float, default=1.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.folder, arguments.jobs, arguments.child, arguments.fraction)
        return
    common.announce()
    folder = arguments.folder / f"bf16-{arguments.scale}"
    for number in range(MODELS):
        write_checkpoint(folder / f"random-{number}", number, "bf16", arguments.scale)
    total = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    limit = parse_bytes(arguments.limit)
    kind, enter, peak, clean = under_limit(limit)
    command = [sys.executable, __file__, "--child", "cpu", "--folder", str(folder), "--jobs", str(arguments.jobs)]
    began = time.perf_counter()
    done = subprocess.run(command, preexec_fn=enter, capture_output=True, text=True, check=False)
    seconds, highest = time.perf_counter() - began, peak()
    clean()
    print(f"{MODELS} models, {total / 2**20:,.0f} MiB together; limit {limit / 2**20:,.0f} MiB by {kind}")
    if done.returncode != 0:
        print(f"FAILED with status {done.returncode}\n{done.stderr[-2000:]}")
        raise SystemExit(1)
    report = json.loads(done.stdout.splitlines()[-1])
    print(f"{report['jobs']} jobs done in {seconds:.1f} s, nothing killed: {report}")
    shown = "not reported by this limit" if highest is None else f"{highest / 2**20:,.0f} MiB, file cache included"
    print(f"anonymous memory at most {report['peak'] / 2**20:,.0f} MiB; the kernel's peak: {shown}")
    if torch.cuda.is_available():
        fraction = min(1.0, limit / torch.cuda.mem_get_info()[1])
        command[command.index("cpu")] = "cuda"
        subprocess.run([*command, "--fraction", str(fraction)], check=True)


if __name__ == "__main__":
    main()
