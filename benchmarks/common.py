"""What the benchmarks share: a model to run (the starter, or a random one of its size), timing in turn, and the report."""

import argparse
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio import compat  # noqa: E402

compat.prepare()


def arguments(description: str, **defaults: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--model", default="", help="id of a model; the first shipped one, else a random one of its size"
    )
    parser.add_argument("--steps", type=int, default=defaults.get("steps", 20))
    parser.add_argument(
        "--rounds", type=int, default=defaults.get("rounds", 5), help="rounds in turn, after one to warm up"
    )
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--dtype", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser


def announce() -> None:
    """The command and the machine, first of all, so that a figure can be made again."""
    import torch

    from studio.engine.environment import describe_device, library_versions

    print(f"$ python {shlex.join(sys.argv)}")
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    print(f"{describe_device('cpu')}; load {os.getloadavg()[0]:.1f}; {versions}")
    if not torch.cuda.is_available():
        print("CUDA: NOT RUN (no CUDA device here)")


def model_folder(folder: Path, name: str) -> tuple[Path, str]:
    """(models folder, model id): the named or shipped one, else a random pair built in `folder`."""
    from studio.core.options import find_model
    from studio.manager.disk.catalog import Catalog

    shipped = [info for info in Catalog((ROOT / "models",), None).models() if info.problem is None]
    if shipped:
        return ROOT / "models", find_model(shipped, name or "default").id
    random_unet(folder / "models" / "random-unet")
    print("model: random weights of the starter's size (no starter is installed)")
    return folder / "models", name or "random-unet"


def random_unet(folder: Path) -> Path:
    """A StableDiffusionPipeline of 17 M parameters on 16x16 latents, 128x128 pixels, with random weights."""
    import torch
    from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel

    from tests.models.tiny_text import clip_text, clip_tokenizer

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(max_length=40)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(128, 256),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=256,
        attention_head_dim=4,
    )
    vae = AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, scaling_factor=1.0
    )
    StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=clip_text(tokenizer, width=256),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=DPMSolverMultistepScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
    return folder


def in_turn(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds (wall, CPU) of each run. Every round goes there and back (A B C C B A), so that drift hits all alike."""
    names = list(runs)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in [*names, *reversed(names)]:
            wall, cpu = time.perf_counter(), time.process_time()
            runs[name]()
            if number:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def ratio(times: dict[str, list[tuple[float, float]]], name: str, base: str, clock: int) -> tuple[float, float, float]:
    """Median and quartiles of the ratios of runs that stood beside each other. clock: 0 wall, 1 CPU."""
    ratios = sorted(a[clock] / b[clock] for a, b in zip(times[name], times[base], strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def seconds(times: dict[str, list[tuple[float, float]]], name: str) -> str:
    return f"{statistics.median(wall for wall, _ in times[name]):7.3f} s wall {statistics.median(cpu for _, cpu in times[name]):7.3f} s CPU"
