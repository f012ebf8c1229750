"""Speed and memory on a CUDA device at the sizes of SD 1.5, SDXL and FLUX.1 dev: bare diffusers, the studio, the studio compiled.

    python scripts/cuda_speed.py [--seconds 100] [--only sd1,sdxl,flux] [--json FILE] [--rehearse]

Weights are random and made on the device from the published configurations; no file is read or written. FLUX's T5 has one layer
here: text is not what is timed. `--rehearse` runs the tiny models of the tests on the processor, in seconds.
"""

# ruff: noqa: E402
import argparse
import dataclasses
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio import compat

compat.prepare()

import torch
from torch.utils.flop_counter import FlopCounterMode

from studio.core.options import find_model, resolve
from studio.core.recipe import pixel_hash
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.engine.effects import Context, call_arguments, no_images
from studio.engine.generate import Piece, Watch, batches, prepare_pipeline, sample
from studio.engine.previews import Previewer
from studio.engine.recorder import recorder_for
from studio.manager.families.blueprints import blueprint
from studio.manager.loading import component_class
from studio.manager.manager import Loaded, Manager
from tests.models import tiny_models

SIDES = {"sd1": 512, "sdxl": 1024, "flux": 1024}
SWAP_NEEDS = 40
NEEDS = {"sd1": 15, "sdxl": 25, "flux": 35}  # seconds that one is given at least; else it is left out
FEW, MANY = 4, 16  # a step's time is the difference of two runs, so that text, decoding and the start are not in it
# The transformer of FLUX.1 dev, which checkpoints show by their shapes alone.
FLUX = {"guidance_embeds": True, "num_layers": 19, "num_single_layers": 38, "joint_attention_dim": 4096}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--only", default=",".join(SIDES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    device = "cpu" if options.rehearse else "cuda"
    end = time.monotonic() + options.seconds
    rows: dict[str, Any] = {"matmul_tflops": matmul_rate(device, 256 if options.rehearse else 8192)}
    print(f"matrix product, bf16: {rows['matmul_tflops']:,.1f} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only.split(","):
            left = end - time.monotonic()
            if left < NEEDS[name] and not options.rehearse:
                rows[name] = {"skipped": f"{left:.0f} s were left, and it needs {NEEDS[name]}"}
            else:
                rows[name] = guarded(lambda name=name: measure(name, device, Path(folder), rows["matmul_tflops"]))
            print(f"{name}: {json.dumps(rows[name])}", flush=True)
            save(rows, options.json)
        rows["swap"] = swap(end - time.monotonic(), Path(folder), options.rehearse)
    save(rows, options.json)
    return 0


def save(rows: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def swap(left: float, folder: Path, rehearsal: bool) -> dict[str, Any]:
    """benchmarks/swap.py: two full-size SD 1.5 in turn under a budget that holds one."""
    if left < SWAP_NEEDS or rehearsal:
        return {"skipped": "a rehearsal" if rehearsal else f"{left:.0f} s were left, and it needs {SWAP_NEEDS}"}
    command = [
        sys.executable,
        "benchmarks/swap.py",
        "--device",
        "cuda",
        "--rounds",
        "1",
        "--folder",
        str(folder / "swap"),
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=left, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return {"skipped": f"it was not done within {left:.0f} s"}
    print(done.stdout, flush=True)
    lines = done.stdout.strip().splitlines()
    return {"lines": lines} if done.returncode == 0 else {"skipped": done.stderr.strip().splitlines()[-1]}


def guarded(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `run` gives, or why it gave nothing; memory is free again either way."""
    try:
        return run()
    except Exception as error:
        return {"skipped": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def matmul_rate(device: str, side: int) -> float:
    """Tera floating point operations a second of a bf16 matrix product: what a step is compared with."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in "ab")
    times = []
    for _ in range(8):
        synchronize()
        began = time.perf_counter()
        for _ in range(5):
            a @ b
        synchronize()
        times.append((time.perf_counter() - began) / 5)
    return 2 * side**3 / statistics.median(times[3:]) / 1e12


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(name: str, device: str, folder: Path, peak_rate: float) -> dict[str, Any]:
    """Seconds a step, share of the matrix rate and peak memory of the three ways to run one model."""
    rehearsal = device == "cpu"
    few, many = (1, 3) if rehearsal else (FEW, MANY)
    with model(name, device, folder) as (loaded, request):
        ways = {"bare diffusers": Bare(request, loaded), "studio": Engine(request, loaded, folder)}
        out: dict[str, Any] = {"picture": f"{request.width} x {request.height}", "dtype": str(loaded.dtype)}
        out["tflop_a_step"] = flops_of_a_step(ways["bare diffusers"], loaded) / 1e12
        pixels = {}
        for way, run in ways.items():
            out[way], pixels[way] = timed(run, few, many)
        out["identical"] = len(set(pixels.values())) == 1
        denoiser = loaded.components[loaded.family.denoiser]
        began = time.perf_counter()
        denoiser.compile_repeated_blocks(**({"backend": "eager"} if rehearsal else {}))
        ways["studio"](few)
        compiling = time.perf_counter() - began
        out["studio compiled"], _ = timed(ways["studio"], few, many)
        out["studio compiled"]["seconds_compiling"] = round(compiling, 1)
    for way in (*ways, "studio compiled"):
        rate = out["tflop_a_step"] / out[way]["seconds_a_step"]
        out[way] |= {"tflops": round(rate, 2), "share_of_matrix_rate": round(rate / peak_rate, 3)}
    return out


@contextmanager
def model(name: str, device: str, folder: Path) -> Iterator[tuple[Loaded, GenerationRequest]]:
    """A tiny model's lease, and on a GPU with components of the published size in place of its own."""
    models = folder / name
    tiny_models.BUILDERS[name](models / name)
    manager = Manager(Settings(models=(models,), outputs=folder / "outputs", device=device))
    info = find_model(manager.catalog.models(), name)
    size = {} if device == "cpu" else {"width": SIDES[name], "height": SIDES[name]}
    request = resolve(GenerationRequest(model=name, prompt="a red heart on the left", steps=MANY, seed=5, **size), info)
    with manager.lease(info, "fp32" if device == "cpu" else "bf16", request=request) as loaded:
        if device == "cpu":
            yield loaded, request
        else:
            big = loaded.components | full_size(name, device)
            for part in (big.get("tokenizer"), big.get("tokenizer_2")):
                if part is not None:
                    part.model_max_length = 77 if name != "flux" or part is big["tokenizer"] else 512
            yield dataclasses.replace(loaded, components=big), request
    manager.unload()


def full_size(name: str, device: str) -> dict[str, Any]:
    """The published architecture's modules with random bf16 weights, made on the device."""
    plan, out = blueprint(name), {}
    configs = plan.configs | ({"transformer": FLUX} if name == "flux" else {})
    for part, (library, class_name) in plan.parts.items():
        if part not in configs or part == "scheduler":
            continue
        cls, config = component_class(library, class_name), dict(configs[part])
        if class_name == "T5EncoderModel":
            config["num_layers"] = 1
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device(device):
                made = cls.from_config(config) if library == "diffusers" else cls(cls.config_class(**config))
        finally:
            torch.set_default_dtype(torch.float32)
        out[part] = made.to(device, torch.bfloat16).eval().requires_grad_(False)
    return out


class Bare:
    """diffusers' own pipeline, called as the studio would call it, with nothing around it."""

    def __init__(self, request: GenerationRequest, loaded: Loaded):
        self.request, self.loaded = request, loaded

    def __call__(self, steps: int) -> str:
        request = self.request.model_copy(update={"steps": steps})
        pipeline = prepare_pipeline(request, self.loaded, [request.seed])
        arguments = call_arguments(Context(request, self.loaded, pipeline, (0,), {}, no_images))
        image = pipeline(**arguments, generator=torch.Generator().manual_seed(request.seed)).images[0]
        return pixel_hash(image.mode, image.size, image.tobytes())


class Engine:
    """The studio's engine with what a run has around it: tap, recorder and previews."""

    def __init__(self, request: GenerationRequest, loaded: Loaded, folder: Path):
        self.request, self.loaded, self.folder = request, loaded, folder

    def __call__(self, steps: int) -> str:
        request = self.request.model_copy(update={"steps": steps})
        previewer = Previewer.for_model(self.loaded)
        with recorder_for(self.loaded.device)(previewer, lambda step: None, lambda *frame: None, 1) as recorder:
            watch = Watch((recorder, previewer))
            [images] = batches(request)
            [made] = sample(request, self.loaded, Piece(images), watch)
            [result] = made.results()
        return str(result.recipe.pixels)


def timed(run: Callable[[int], str], few: int, many: int) -> tuple[dict[str, Any], str]:
    """Seconds a step and a picture, peak memory, and the hash of the picture in `many` steps."""
    run(few)  # the first run of a kind allocates and tunes
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds, pixels = {few: float("inf"), many: float("inf")}, ""
    for steps in (few, many, few, many):  # the quicker of two: a busy machine delays one of them
        synchronize()
        began = time.perf_counter()
        pixels = run(steps)
        synchronize()
        seconds[steps] = min(seconds[steps], time.perf_counter() - began)
    row = {
        "seconds_a_step": max(seconds[many] - seconds[few], 1e-9) / (many - few),
        "seconds_a_picture": seconds[many],
        "steps": many,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if torch.cuda.is_available() else None,
    }
    return row, pixels


def flops_of_a_step(run: Callable[[int], str], loaded: Loaded) -> float:
    """Of one call of the denoiser (with CFG, both halves), as PyTorch counts them."""
    denoiser = loaded.components[loaded.family.denoiser]
    calls: list[None] = []
    hook = denoiser.register_forward_hook(lambda *_: calls.append(None))
    try:
        with FlopCounterMode(display=False) as counter:
            run(2)
    finally:
        hook.remove()
    return sum(counter.get_flop_counts()[type(denoiser).__name__].values()) / len(calls)


if __name__ == "__main__":
    sys.exit(main())
