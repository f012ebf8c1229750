"""Trains the probe on rendered scenes with a decoder's typical defects: `python -m studio.training.probe RECIPE`.

The detector is in `studio.evaluation.probe`. Uses no generative model except, optionally, an autoencoder, through which
some of the pictures go.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from studio.evaluation.adherence import score
from studio.evaluation.probe import STRIDE, UNCLEAR, Probe, ProbeNet, ProbeSpec, cell_centres, to_tensor
from studio.training.datasets import datasets
from studio.training.datasets.filters import filters
from studio.training.datasets.tinyworld import Example, vocabulary
from studio.training.optim import bf16_is_fast
from studio.training.worlds import worlds

RUINED = 0.08  # share of the pictures that are ruined and labelled "unclear"
EVERY = 50  # steps between rows of metrics
MEASURED = 500  # held-out renders of each kind that a trained net's accuracy is measured on
DECODED = 8  # one picture in this many goes through the autoencoder, where there is one
IGNORED = -100  # cross entropy's own mark for "no label here"


class ProbeConfig(BaseModel):
    """The recipe of a probe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field("tinyworld", description="The world whose scenes it learns: tinyworld or emoji.")
    out: Path = Field(description="Folder that receives weights and config.")
    size: int = Field(128, ge=32, le=512, multiple_of=STRIDE, description="Side of the pictures it looks at.")
    channels: int = Field(64, ge=8, le=512, multiple_of=4)
    steps: int = Field(2000, ge=1)
    batch: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1)
    styles: tuple[str, ...] = ("flat",)
    filters: tuple[str, ...] = Field(("none",), description="Drawing filters; each picture goes through one of them.")
    start_from: Path | None = Field(None, description="Folder of a trained probe to go on from.")
    objects: tuple[float, float, float] = (0.4, 0.35, 0.25)
    autoencoder: Path | None = Field(
        None, description="Folder of an AutoencoderTiny; an eighth of the pictures goes through it."
    )
    max_minutes: float = Field(
        10.0, gt=0, description="Of processor time: training ends by then, its learning rate decayed towards it."
    )


def spoil(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture [S, S, 3] as a mediocre decoder shows it: soft, noisy, ringing, its colours a little off."""
    side = image.shape[0]
    if rng.random() < 0.35:
        smaller = round(side * rng.uniform(0.4, 0.9))
        way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        image = cv2.resize(
            cv2.resize(image, (smaller, smaller), interpolation=cv2.INTER_AREA), (side, side), interpolation=way
        )
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.25:
        image = bend(image, rng, rng.uniform(0.3, 1.6))
    if rng.random() < 0.3:
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])
        image = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    spoiled = image.astype(np.float32)
    if rng.random() < 0.6:
        gain, lift = rng.uniform(0.92, 1.08, 3), rng.uniform(-9, 9, 3)
        spoiled = (spoiled - 128) * rng.uniform(0.85, 1.1) * gain.astype(np.float32) + 128 + lift.astype(np.float32)
    if rng.random() < 0.5:
        coarse = int(rng.choice([1, 2, 4, 8]))
        noise = rng.standard_normal((side // coarse, side // coarse, 3), np.float32) * rng.uniform(1, 10)
        spoiled = spoiled + cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(spoiled), 0, 255).astype(np.uint8)


def bend(image: np.ndarray, rng: np.random.Generator, reach: float) -> np.ndarray:
    """Bend a picture smoothly by about `reach` pixels of 128: a weak model bends by one or two, six make a shape unrecognisable."""
    side = image.shape[0]
    away = [
        cv2.resize(rng.standard_normal((9, 9), np.float32), (side, side), interpolation=cv2.INTER_CUBIC) for _ in "xy"
    ]
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    reach *= side / 128
    return cv2.remap(image, x + away[0] * reach, y + away[1] * reach, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def ruin(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend a picture until what it shows cannot be recognised."""
    return bend(image, rng, rng.uniform(5.5, 11))


class Labels:
    """Scenes to training targets on the grid."""

    def __init__(self, spec: ProbeSpec):
        self.spec, self.side = spec, spec.size // STRIDE
        self.centres = cell_centres(self.side).numpy()  # [2, G, G]

    def __call__(self, examples: list[Example], ruined: list[bool]) -> dict[str, Tensor]:
        n, g = len(examples), self.side
        heat = np.zeros((n, g, g), np.float32)
        shape = np.zeros((n, 3, g, g), np.float32)  # offset x, offset y (in cells), extent
        kind = np.full((n, g, g), IGNORED, np.int64)
        colour = np.full((n, g, g), IGNORED, np.int64)
        ground = np.full((n, 2), IGNORED, np.int64)
        for b, example in enumerate(examples):
            scene = example.scene
            if not ruined[b]:
                ground[b, 0] = self.spec.grounds.index(scene.ground.kind)
            if scene.ground.colour is not None:
                ground[b, 1] = self.spec.colours.index(scene.ground.colour)
            for obj in scene.objects:
                away = np.stack([obj.x - self.centres[0], obj.y - self.centres[1]]) * g  # [2, G, G] in cells
                bump = np.exp(-(away**2).sum(0) / 2)
                near = bump > np.maximum(heat[b], 0.45)
                bump[np.unravel_index(bump.argmax(), bump.shape)] = 1.0
                heat[b] = np.maximum(heat[b], bump)
                shape[b][:, near] = np.concatenate([away, np.full((1, g, g), obj.extent)])[:, near]
                kind[b][near] = self.spec.kinds.index(UNCLEAR if ruined[b] else obj.kind)
                colour[b][near] = IGNORED if obj.colour is None else self.spec.colours.index(obj.colour)
        arrays = {"heat": heat, "shape": shape, "kind": kind, "colour": colour, "ground": ground}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def losses(spec: ProbeSpec, grid: Tensor, ground: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parts of the loss: CenterNet's focal loss (eq. 1), cross entropies, L1 of centre and extent."""
    heat, kinds = grid[:, 0], len(spec.kinds)
    p = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = labels["heat"] == 1
    focal = torch.where(centre, (1 - p) ** 2 * p.log(), (1 - labels["heat"]) ** 4 * p**2 * (1 - p).log())  # [B, G, G]
    near = labels["kind"] != IGNORED
    away = (grid[:, 1:4] - labels["shape"]).abs() * torch.tensor([1.0, 1.0, 8.0])[:, None, None]
    words = len(spec.grounds)
    return {
        "object": -focal.sum() / centre.sum(),
        "kind": F.cross_entropy(grid[:, 4 : 4 + kinds], labels["kind"]),
        "colour": _labelled(grid[:, 4 + kinds :], labels["colour"]),
        "shape": away.mean(1)[near].mean(),
        "ground": _labelled(ground[:, :words], labels["ground"][:, 0]),
        "ground_colour": _labelled(ground[:, words:], labels["ground"][:, 1]),
    }


def _labelled(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean cross entropy where there is a label; 0 where there is none, as for the colours of emoji."""
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def round_trip(folder: Path) -> Callable[[Tensor], Tensor]:
    """A function that puts pictures [B, 3, S, S] through an autoencoder's latent and back."""
    from studio import compat

    compat.prepare()
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny.from_pretrained(folder).eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def there_and_back(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            latents = model.encode(x.contiguous(memory_format=torch.channels_last)).latents
            latents = latents + torch.randn_like(latents) * 0.05 * torch.rand(len(x), 1, 1, 1)
            return model.decode(latents).sample.float().clamp(-1, 1)

    return there_and_back


def train(config: ProbeConfig) -> Iterator[dict[str, float]]:
    """Train and save a probe; yields a row of metrics every EVERY steps, the last with its accuracy."""
    torch.set_num_threads(config.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(config.seed)
    spec = ProbeSpec(
        (*worlds.get(config.data).kinds, UNCLEAR),
        tuple(vocabulary.COLOURS),
        vocabulary.PATTERNS + vocabulary.SCENES,
        config.size,
        config.channels,
    )
    net = ProbeNet(spec) if config.start_from is None else Probe.load(config.start_from).net.train()
    net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    decoder = round_trip(config.autoencoder) if config.autoencoder is not None else None
    recent: list[dict[str, float]] = []
    start = time.process_time()
    for step, (x, labels) in enumerate(_batches(config, Labels(spec)), 1):
        done = max(step / config.steps, (time.process_time() - start) / (60 * config.max_minutes))
        _set_lr(optimizer, config.lr, step, done)
        if decoder is not None:
            part = max(1, len(x) // DECODED)
            x[:part] = decoder(x[:part])
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_is_fast("cpu")):
            grid, ground = net(x.contiguous(memory_format=torch.channels_last))
        parts = losses(spec, grid.float(), ground.float(), labels)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        recent.append({name: float(part.detach()) for name, part in parts.items()})
        if step % EVERY == 0 or done >= 1:
            means = {name: sum(row[name] for row in recent) / len(recent) for name in recent[0]}
            yield {"step": step, "seconds": time.process_time() - start, **means}
            recent.clear()
        if done >= 1:
            break
    yield {"step": step, "seconds": time.process_time() - start, **_finish(net, config)}


def _set_lr(optimizer: torch.optim.Optimizer, lr: float, step: int, done: float) -> None:
    warm = min(1.0, step / 50)
    for group in optimizer.param_groups:
        group["lr"] = lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, done))) + 1e-6


def _batches(config: ProbeConfig, label: Labels) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Batches without end: pictures [B, 3, S, S], four fifths of them with defects, and their targets."""
    world = datasets.get(config.data)(config.size, "train", config.seed + 1, config.styles, config.objects)
    rng = np.random.default_rng(config.seed)
    for start in range(0, sys.maxsize, config.batch):
        examples = [world[i] for i in range(start, start + config.batch)]
        ruined = [rng.random() < RUINED for _ in examples]
        drawn = [_filtered(e.image, config.filters, rng) for e in examples]
        images = [ruin(image, rng) if r else image for image, r in zip(drawn, ruined, strict=True)]
        images = [image if rng.random() < 0.2 else spoil(image, rng) for image in images]
        yield to_tensor(images, config.size), label(examples, ruined)


def _filtered(image: np.ndarray, names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """The picture through one of the drawing filters; where there is only one, nothing is drawn from `rng` for it."""
    name = names[0] if len(names) == 1 else names[int(rng.integers(len(names)))]
    return filters.get(name)(image, rng)


def _finish(net: ProbeNet, config: ProbeConfig) -> dict[str, float]:
    """Measure a trained net on held-out renders, write it with the metrics, and return them."""
    probe = Probe(net)
    accuracy = {}
    for kind in ("one", "two"):
        images, prompts = worlds.get(config.data).renders(kind, MEASURED, 1, config.size)
        accuracy[kind] = score(images, prompts, probe).rates()
    net.spec = probe.spec = replace(probe.spec, accuracy=accuracy)
    probe.save(config.out)
    return {f"{kind}_{name}": rate for kind, rates in accuracy.items() for name, rate in rates.items()}


def read_config(path: Path) -> ProbeConfig:
    """The recipe in a YAML file."""
    return ProbeConfig(**yaml.safe_load(path.read_text()))


def main() -> None:
    for row in train(read_config(Path(sys.argv[1]))):
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
