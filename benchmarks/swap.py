"""Swapping two full-size SD 1.5 models under a budget that holds one: A B A B, beside bare diffusers and bare bytes.

    python benchmarks/swap.py [--folder FOLDER] [--rounds 3] [--dtype fp16] [--scale 1.0] [--drift 100]

Three ways to have the next model in memory with every page of its weights touched, in turn within each round: the
manager's lease, `from_pretrained` after dropping the last pipeline, and reading as many bytes from the same files
(measured bandwidth). Target: the manager at most 1.3 times the last. `--drift N` then swaps N times more and prints by
how much anonymous memory grew (target: under 50 MiB).
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import torch
from checkpoints import write_checkpoint

from studio.core.models import ModelInfo
from studio.core.settings import Settings
from studio.manager.families import FAMILIES
from studio.manager.loading import module_bytes
from studio.manager.manager import Manager, shape_of
from studio.manager.memory.estimate import Run, folder_weights
from studio.manager.memory.limits import anonymous

PAGE = 4096


def touch(module: torch.nn.Module) -> None:
    """Read one number of every page, so that a mapped weight is really there."""
    for tensor in module.parameters():
        step = PAGE // tensor.element_size()
        tensor.detach().reshape(-1)[::step].sum()


def by_manager(manager: Manager, info: ModelInfo, dtype: str) -> None:
    with manager.lease(info, dtype) as loaded:
        for name in ("unet", "vae", "text_encoder"):
            touch(loaded.components[name])


def by_diffusers(folder: Path, dtype: torch.dtype, device: str = "cpu") -> None:
    from diffusers import StableDiffusionPipeline

    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True).to(device)
    for module in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        touch(module)
    del pipeline
    gc.collect()


def by_bytes(folder: Path) -> None:
    """The files' bytes into memory, once, and nothing else."""
    for file in folder.rglob("*.safetensors"):
        with file.open("rb", buffering=0) as opened:
            buffer = bytearray(1 << 24)
            while opened.readinto(buffer):
                pass


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """Wall seconds, and seconds of this process's own CPU time, which a busy machine hardly stretches."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "unnoise-swap")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp16")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--drift", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    common.announce()
    name = f"{arguments.dtype}-{arguments.scale}"
    folders = [
        write_checkpoint(arguments.folder / name / f"random-{n}", n, arguments.dtype, arguments.scale, arguments.device)
        for n in (0, 1)
    ]
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[arguments.dtype]

    free = Manager(Settings(models=(folders[0].parent,), outputs=arguments.folder / "out", device=arguments.device))
    infos = sorted(free.catalog.models(), key=lambda info: info.id)
    with free.lease(infos[0], arguments.dtype) as loaded:
        weights = sum(module_bytes(loaded.components[n]) for n in ("unet", "vae", "text_encoder"))
    free.unload()
    # Room for one model and its working memory; the second cannot stay beside it.
    family = FAMILIES.get("sd1")
    stages = Run(
        family, folder_weights(folders[0]), shape_of(infos[0], None), arguments.dtype, arguments.device
    ).stages()
    budget = int(1.3 * weights) + max(stage.activation for stage in stages)
    manager = Manager(free.settings.model_copy(update={"memory_budget": budget}), free.catalog)
    print(f"weights {weights / 2**20:,.0f} MiB each; budget {budget / 2**20:,.0f} MiB, working memory included")

    times: dict[str, list[tuple[float, float]]] = {"manager": [], "from_pretrained": [], "bytes": []}
    for _ in range(arguments.rounds + 1):
        for info, folder in zip(infos, folders, strict=True):
            times["manager"].append(seconds(lambda info=info: by_manager(manager, info, arguments.dtype)))
            times["from_pretrained"].append(
                seconds(lambda folder=folder: by_diffusers(folder, dtype, arguments.device))
            )
            times["bytes"].append(seconds(lambda folder=folder: by_bytes(folder)))
    # The first of each model warms up.
    middle = {k: [statistics.median(column) for column in zip(*v[2:], strict=True)] for k, v in times.items()}
    for key, (wall, cpu) in middle.items():
        ratios = f"{wall / middle['bytes'][0]:5.2f} of it by wall, {cpu / middle['bytes'][1]:5.2f} by CPU"
        print(f"{key:>16}: {wall:6.3f} s a swap ({weights / 2**30 / wall:5.2f} GiB/s), {cpu:6.3f} s of CPU; {ratios}")
    evicted = sum(row["move"] == "evict" for row in manager.ledger.recent)
    assert evicted >= 2 * arguments.rounds + 1, "the budget held both, so nothing was swapped"
    print(f"{evicted} evictions of components; target: manager at most 1.30 of bytes over bandwidth")

    if arguments.drift:
        before = anonymous()
        for number in range(arguments.drift):
            by_manager(manager, infos[number % 2], arguments.dtype)
        grown = (anonymous() - before) / 2**20
        print(f"{arguments.drift} swaps: anonymous memory grew by {grown:.1f} MiB (target: under 50)")


if __name__ == "__main__":
    main()
