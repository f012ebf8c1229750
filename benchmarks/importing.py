"""Converting a full-size single file: seconds, the converter's peak memory, how smooth its progress is; then the mapped load.

    python benchmarks/importing.py [--model sd1|sdxl] [--from fp16] [--dtype bf16] [--folder FOLDER]

The file has the published layout and random numbers. Memory is what the kernel counts for the converter's process, sampled
from /proc: `anonymous` is its own, `resident` holds the mapped original's pages as well. Target: anonymous at most the
largest component. Needs about 5 GB of disk for SD 1, 15 for SDXL.
"""

import argparse
import itertools
import json
import math
import struct
import tempfile
import time
from pathlib import Path

import common  # noqa: F401  (finds the project)
import psutil
import torch

from studio.core.settings import Settings
from studio.manager.conversion.converted_folders import Conversion
from studio.manager.disk.tokenizers import END, SIZE
from studio.manager.loading import pipeline_class
from studio.manager.manager import Manager
from tests.models import published_layouts

LAYOUTS = {
    "sd1": lambda: published_layouts.checkpoint(published_layouts.sd1(), published_layouts.SD1_TEXT),
    "sdxl": lambda: published_layouts.checkpoint(published_layouts.sdxl(), published_layouts.SDXL_TEXT),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CODES = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}


def write_file(file: Path, layout: str, dtype: str) -> Path:
    """Random numbers under the published names, one run of them repeated: never more than that is in memory."""
    if file.exists():
        return file
    header, end = {}, 0
    for name, shape in LAYOUTS[layout]().items():
        begin, end = end, end + math.prod(shape) * DTYPES[dtype].itemsize
        header[name] = {"dtype": CODES[dtype], "shape": shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    block = torch.randn(1 << 22).mul_(0.02).to(DTYPES[dtype]).view(torch.uint8).numpy().tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _ in range(end // len(block)):
            out.write(block)
        out.write(block[: end % len(block)])
    return file


def write_vocabulary(models: Path) -> None:
    """A tokenizer's files of CLIP's size; nothing here is ever prompted."""
    folder = models / "tokenizers/clip"
    folder.mkdir(parents=True, exist_ok=True)
    words = {f"w{number}": number for number in range(SIZE - 1)} | {END: SIZE - 1}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")


class Watch:
    """The reports of a conversion, and the memory of its process, at each report and a few times between."""

    def __init__(self, manager: Manager):
        self._manager, self._began = manager, time.perf_counter()
        self.words: list[tuple[float, float]] = []  # (seconds, fraction)
        self.anonymous = self.resident = 0

    def __call__(self, what: str, fraction: float | None) -> None:
        if fraction is not None and (not self.words or fraction != self.words[-1][1]):
            self.words.append((time.perf_counter() - self._began, fraction))
        for child in psutil.Process().children():
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                continue
            self.anonymous = max(self.anonymous, _kib(status, "RssAnon"))
            self.resident = max(self.resident, _kib(status, "VmHWM"))

    def smoothness(self) -> tuple[float, float]:
        """(largest share in one step, longest pause in seconds), after the converter has started."""
        moving = [word for word in self.words if word[1] > 0] or self.words
        steps = list(itertools.pairwise(moving))
        return max((b[1] - a[1] for a, b in steps), default=0.0), max((b[0] - a[0] for a, b in steps), default=0.0)


def _kib(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split()[0]) << 10 if f"{name}:" in status else 0


def largest_component(conversion: Conversion) -> tuple[str, int]:
    sizes: dict[str, int] = {}
    for file in conversion.target.glob("*/*.safetensors"):
        sizes[file.parent.name] = sizes.get(file.parent.name, 0) + file.stat().st_size
    return max(sizes.items(), key=lambda item: item[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=LAYOUTS, default="sd1")
    parser.add_argument("--from", dest="source", choices=DTYPES, default="fp16")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        name = f"random-{arguments.model}-{arguments.source}.safetensors"
        file = write_file(folder / "models/checkpoints" / name, arguments.model, arguments.source)
        write_vocabulary(folder / "models")
        manager = Manager(Settings(models=(folder / "models",), outputs=Path(temporary) / "out", device="cpu"))
        info = next(info for info in manager.catalog.models() if manager.catalog.path(info.id) == file)
        conversion, watch, began = manager.conversion(info, arguments.dtype), Watch(manager), time.perf_counter()
        manager.imports.folder(conversion, watch)
        seconds = time.perf_counter() - began
        report(file, conversion, watch, seconds, arguments.dtype)
        pipeline_class(info.pipeline or "")  # importing the library is no part of a load
        began = time.perf_counter()
        with manager.lease(info, arguments.dtype):
            print(f"first lease, weights looked at {time.perf_counter() - began:6.1f} s")
        manager.unload()
        began = time.perf_counter()
        with manager.lease(info, arguments.dtype):
            print(f"a later lease, mapped          {time.perf_counter() - began:6.2f} s")


def report(file: Path, conversion: Conversion, watch: Watch, seconds: float, dtype: str) -> None:
    name, most = largest_component(conversion)
    step, pause = watch.smoothness()
    size = file.stat().st_size
    print(f"{file.name}, {size / 2**20:,.0f} MiB, to {dtype}")
    print(f"converted in                   {seconds:6.1f} s, of which {watch.words[1][0]:.1f} s until the first tensor")
    print(f"converter's anonymous memory   {watch.anonymous / 2**20:6,.0f} MiB at most")
    print(
        f"its resident memory            {watch.resident / 2**20:6,.0f} MiB at most, mapped pages of the original included"
    )
    print(f"largest component              {most / 2**20:6,.0f} MiB ({name})")
    print(
        f"progress                       {len(watch.words)} words, largest step {step:.1%}, longest pause {pause:.1f} s"
    )


if __name__ == "__main__":
    main()
