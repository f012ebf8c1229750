"""Fits the preview map of a model made here, and puts it beside the model as preview.safetensors.

    python scripts/fit_preview.py models/starter/tinyworld-sd [models/starter/tinyworld-pixart ...]

The latents are those of drawn Tiny World scenes under the model's own encoder, a quarter of them blurred as early
predictions are; the pictures are what its own decoder makes of them. Takes about a minute on a CPU.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studio import compat  # noqa: E402

compat.prepare()

SCENES = 300
HELD_OUT = 40
FIRST = 50_000_000  # beyond the indices that training draws


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        fit(folder)
    return 0


def fit(folder: Path) -> None:
    import diffusers
    import torch

    from studio.engine.patch_map import fit_preview
    from studio.engine.previews import FILE

    index = json.loads((folder / "model_index.json").read_text())
    vae = getattr(diffusers, index["vae"][1]).from_pretrained(folder / "vae", dtype=torch.float32).eval()
    with torch.no_grad():
        latents = torch.cat([encode(vae, batch) for batch in scenes(SCENES + HELD_OUT).split(20)])
        fitted = fit_preview(vae, latents[HELD_OUT:])
        truth = torch.cat([vae.decode(z).sample for z in latents[:HELD_OUT].split(20)]).clamp(-1, 1)
        error = (fitted(latents[:HELD_OUT]).clamp(-1, 1) - truth).square().mean()
    fitted.save(folder / FILE)
    print(
        f"{folder}: {10 * float(torch.log10(4 / error)):.1f} dB against the decoder on {HELD_OUT} scenes not fitted to"
    )


def scenes(count: int, size: int = 128) -> Any:
    """(count, 3, size, size) in -1..1; every fourth one blurred."""
    import torch
    from PIL import Image, ImageFilter

    from studio.training.datasets.tinyworld import TinyWorld

    world = TinyWorld(size=size)
    rows = []
    for k in range(count):
        picture = Image.fromarray(world[FIRST + k].image)
        if k % 4 == 3:
            picture = picture.filter(ImageFilter.GaussianBlur(2 + k % 8))
        rows.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(size, size, 3))
    return torch.stack(rows).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode(vae: Any, pixels: Any) -> Any:
    """Latents as the decoder takes them: (n, c, h, w)."""
    output = vae.encode(pixels)
    return output.latents if hasattr(output, "latents") else output.latent_dist.mode()


if __name__ == "__main__":
    sys.exit(main())
