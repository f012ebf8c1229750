"""Do the starter's LoRAs give their styles, only when they are asked for, and does the picture still show what was asked for?

    python benchmarks/lora.py [--count 100] [--steps 20]

Held-out prompts of one object, the same for each LoRA at weight 1 and once at weight 0. A small classifier, trained here on
drawings in each style that went through the model's autoencoder, names the style; its own accuracy on other such drawings is
printed. Content is right where a probe that knows the styles (presets/training/starter-probe-styles.yaml) finds each object
in its place, and colours too where the style keeps them. Targets: the style in 90 of 100 at weight 1, plain in 95 at weight 0,
content above 80.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import common
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from studio.evaluation.adherence import score
from studio.evaluation.probe import Probe
from studio.training.adherence import MODEL, read_card
from studio.training.datasets.filters import filters
from studio.training.datasets.tinyworld import TinyWorld, held_out_prompts, held_out_renders
from studio.training.pictures import sheet, to_tensor

STYLES = {"blueprint": False, "crayon": True, "comic": True}  # style -> whether it keeps colours
NAMES = ("none", *STYLES)
DRAWN, HELD_OUT, STEPS = 400, 100, 800  # of each style; steps of the classifier


def drawings(vae: nn.Module, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Pictures [n, 3, 128, 128] in each style as the model's decoder shows them, and the styles' numbers."""
    data = TinyWorld(seed=77)
    pictures, labels = [], []
    for label, name in enumerate(NAMES):
        for k in range(start, start + count):
            pictures.append(filters.get(name)(data[k].image, np.random.default_rng(k)))
            labels.append(label)
    out = []
    for k in range(0, len(pictures), 20):
        with torch.no_grad():
            x = vae.decode(vae.encode(to_tensor(np.stack(pictures[k : k + 20]))).latents).sample
        out.append(x.clamp(-1, 1))
    return torch.cat(out), torch.tensor(labels)


class Pooled(nn.Module):
    """Mean and deviation of each channel over the picture."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)  # [n, c, h w]
        return torch.cat([x.mean(2), x.std(2)], 1)


def classifier(vae: nn.Module) -> nn.Module:
    """A small convolutional network that names the style from what its features are on average and how they vary."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 48, 3, 2, 1)]
    net = nn.Sequential(*layers, nn.ReLU(), Pooled(), nn.Linear(96, len(NAMES)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, STEPS)
    x, y = drawings(vae, 0, DRAWN)
    for _ in range(STEPS):
        picks = torch.randint(len(x), (48,))
        noisy = x[picks] * torch.empty(48, 1, 1, 1).uniform_(0.9, 1.1) + torch.randn(48, 3, 1, 1) * 0.05
        F.cross_entropy(net(noisy), y[picks]).backward()
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
    x, y = drawings(vae, DRAWN, HELD_OUT)
    with torch.no_grad():
        right = (net(x).argmax(1) == y).float().view(len(NAMES), -1).mean(1)
    said = "  ".join(f"{name} {100 * share:.0f}" for name, share in zip(("plain", *STYLES), right, strict=True))
    print(f"the classifier's own accuracy on {HELD_OUT} other drawings of each, of 100: {said}", flush=True)
    return net


@torch.no_grad()
def named(net: nn.Module, pictures: Sequence[Image.Image]) -> list[str]:
    x = torch.cat([to_tensor(np.asarray(p)[None]) for p in pictures])
    return [NAMES[k] for k in net(x).argmax(1).tolist()]


def judged(name: str, probe: Probe, pictures: Sequence, prompts: Sequence) -> str:
    rates = score(pictures, prompts, probe)
    content = np.mean([v.objects and v.places and (v.colours or not STYLES.get(name, True)) for v in rates.verdicts])
    return f"{100 * content:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the base")
    parser.add_argument(
        "--loras", default="models/starter/lora-{}.safetensors", help="files of the LoRAs, {} the style"
    )
    parser.add_argument("--probe", type=Path, default=Path("runs/probe-styles"), help="the judge of the content")
    parser.add_argument("--count", type=int, default=100, help="prompts")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--out", type=Path, help="folder for sheets of pictures")
    args = parser.parse_args()
    common.announce()
    base = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    base.set_progress_bar_config(disable=True)
    net = classifier(base.vae)
    probe = Probe.load(args.probe) if args.probe.is_dir() else None
    if probe is None:
        print(f"content: NOT RUN ({args.probe} is not there; train presets/training/starter-probe-styles.yaml)")
    prompts = held_out_prompts("one", args.count)
    guidance = read_card(args.model).get("defaults", {}).get("guidance_scale", 2.5)

    def make() -> list[Image.Image]:
        made: list[Image.Image] = []
        for start in range(0, len(prompts), args.batch):
            texts = [p.text for p in prompts[start : start + args.batch]]
            seeds = [torch.Generator().manual_seed(start + k) for k in range(len(texts))]
            made += base(texts, generator=seeds, num_inference_steps=args.steps, guidance_scale=guidance).images
        return made

    def report(title: str, style: str, made: list[Image.Image]) -> None:
        share = 100 * np.mean([name == style for name in named(net, made)])
        content = own = "-"
        if probe is not None:
            renders, about = held_out_renders("one", 200)
            drawn = [filters.get(style)(r, np.random.default_rng(k)) for k, r in enumerate(renders)]
            content, own = judged(style, probe, made, prompts), judged(style, probe, drawn, about)
        print(f"{title:22} style {share:3.0f} of 100   content {content} of 100 (on true drawings {own})", flush=True)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            sheet(made[:40], 10).save(args.out / f"lora-{style}.png")

    plain_done = False
    for style in STYLES:
        file = Path(args.loras.format(style))
        if not file.is_file():
            print(f"{style}: NOT RUN ({file} is not there; train presets/training/starter-lora-{style}.yaml)")
            continue
        base.load_lora_weights(file.parent, weight_name=file.name, adapter_name=style)
        if not plain_done:
            base.set_adapters([style], [0.0])
            report(f"{style} at weight 0", "none", make())
            plain_done = True
        base.set_adapters([style], [1.0])
        report(f"{style} at weight 1", style, make())
        base.delete_adapters(style)


if __name__ == "__main__":
    main()
