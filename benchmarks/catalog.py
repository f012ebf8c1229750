"""Scanning a folder of a thousand model files: at first, again, and after one of them changed.

    python benchmarks/catalog.py [--files 1000] [--folder FOLDER]

The files have every tensor of what people have (checkpoints of 690 to 2,500 tensors, LoRAs of up to 2,100, and what goes
beside), by their published names and at full size, with a hole for data; so a scan parses what it would parse. Prints
seconds of the wall and of the processor, and by how much the process grew. Target: a first scan of seconds, a second
one at once.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from studio.manager.disk.catalog import Catalog
from tests.models import published_layouts as published
from tests.models.published_layouts import SD1_TEXT, SDXL_TEXT, Shapes, checkpoint
from tests.models.sparse_headers import write_sparse

# (share of the files, folder, tensors)
LIBRARY: tuple[tuple[float, str, Callable[[], Shapes]], ...] = (
    (0.15, "Stable-diffusion/sd15", lambda: checkpoint(published.sd1(), SD1_TEXT)),
    (0.15, "Stable-diffusion/sdxl", lambda: checkpoint(published.sdxl(), SDXL_TEXT)),
    (0.30, "Lora/sdxl", lambda: published.kohya(published.sdxl())),
    (
        0.15,
        "Lora/sd15",
        lambda: published.kohya(published.sd1()) | published.kohya_text(published.clip_text(), "lora_te_"),
    ),
    (0.15, "embeddings", lambda: {"emb_params": (8, 768)}),
    (0.05, "VAE", published.ldm_vae),
    (0.05, "ESRGAN", published.rrdb),
)


def write_library(folder: Path, count: int) -> int:
    """The number of files written."""
    written = 0
    for share, place, shapes in LIBRARY:
        tensors = shapes()
        for number in range(round(share * count)):
            write_sparse(folder / place / f"{number:04}.safetensors", tensors)
            written += 1
    return written


def timed(name: str, folder: Path, index: Path, expected: int) -> None:
    before, began, cpu = resident(), time.perf_counter(), time.process_time()
    catalog = Catalog((folder,), index)
    found = len(catalog.models())
    wall, busy = time.perf_counter() - began, time.process_time() - cpu
    catalog.index.close()
    assert found == expected, f"{found} of {expected} files were listed"
    print(f"{name:22} {wall:7.3f} s   processor {busy:7.3f} s   grew by {resident() - before:5.1f} MiB", flush=True)


def resident() -> float:
    """Most memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where to write the files; a temporary folder if not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        folder, index = Path(place) / "models", Path(place) / "catalog.db"
        expected = write_library(folder, arguments.files)
        headers = sum(8 + int.from_bytes(file.open("rb").read(8), "little") for file in folder.rglob("*.safetensors"))
        print(f"{expected:,} files with {headers / 2**20:,.0f} MiB of headers")
        timed("first scan", folder, index, expected)
        timed("again", folder, index, expected)
        one = next(folder.rglob("*.safetensors"))
        os.utime(one)
        timed("one changed", folder, index, expected)


if __name__ == "__main__":
    main()
