"""bf16 with channels_last against fp32 on this device: the gain, and beside it what it costs in fidelity (PSNR)."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from common import announce, arguments, in_turn, model_folder, ratio, seconds

PROMPTS = (
    "a large red heart, striped yellow background",
    "a small house under the moon, snow",
    "a blue ring, dotted pink background",
)


def main() -> int:
    options = arguments(__doc__ or "", rounds=3).parse_args()
    announce()
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))
    return 0


def compare(options: Any, folder: Path) -> None:
    import numpy as np

    from studio.core.options import find_model, resolve
    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.engine.generate import generate
    from studio.engine.precision import measure
    from studio.manager.manager import Manager

    models, name = model_folder(folder, options.model)
    manager = Manager(Settings(models=(models,), outputs=folder / "outputs", device="cpu"))
    info = find_model(manager.catalog.models(), name)
    pictures: dict[str, list[Any]] = {}

    def run(dtype: str, channels_last: bool) -> None:
        with manager.lease(info, dtype, lambda what, fraction: None, channels_last=channels_last) as loaded:
            pictures[dtype] = [
                np.asarray(result.image, dtype=float)
                for prompt in PROMPTS
                for result in generate(
                    resolve(GenerationRequest(model=info.id, prompt=prompt, steps=options.steps, seed=1), info), loaded
                )
            ]

    times = in_turn({"fp32": lambda: run("fp32", False), "bf16": lambda: run("bf16", True)}, options.rounds)
    gain, low, high = (1 / r for r in ratio(times, "bf16", "fp32", 0))
    cpu_gain = 1 / ratio(times, "bf16", "fp32", 1)[0]
    print(f"{info.id}, {len(PROMPTS)} pictures of {options.steps} steps")
    for dtype in ("fp32", "bf16"):
        print(f"  {dtype}  {seconds(times, dtype)}")
    print(f"  gain of bf16 + channels_last: {gain:.2f}x wall (quartiles {high:.2f} to {low:.2f}), {cpu_gain:.2f}x CPU")
    for prompt, full, half in zip(PROMPTS, pictures["fp32"], pictures["bf16"], strict=True):
        error = float(((full - half) ** 2).mean())
        print(f"  PSNR {10 * np.log10(255**2 / max(error, 1e-9)):5.1f} dB  {prompt}")
    with manager.lease(info, "fp32", lambda what, fraction: None) as loaded:
        print(f"  what `auto` measures on the denoiser alone: {measure(loaded)}")


if __name__ == "__main__":
    sys.exit(main())
