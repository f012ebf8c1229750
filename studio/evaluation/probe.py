"""The probe: a small convolutional detector of the objects in a picture and of its background.

One anchor-free head on a stride-8 grid (after CenterNet, https://arxiv.org/abs/1904.07850) names kind, colour,
centre and extent of each object; pooled features name the background. Its labels come from its config.json.
Independent of its training data and of prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from studio.core.errors import ModelError

STRIDE = 8
WEIGHTS, CONFIG = "model.safetensors", "config.json"
THRESHOLD = 0.4  # objectness from which a peak counts as an object
MOST_OBJECTS = 6
UNCLEAR = "unclear"  # the kind of an object that is there but cannot be named


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """The architecture of a probe, its labels, and its accuracy on held-out renders."""

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    grounds: tuple[str, ...]
    size: int = 128
    channels: int = 64
    accuracy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Detected:
    """A detected object: labels, centre and longer side as fractions of the picture, and the probe's confidence."""

    kind: str
    colour: str
    x: float
    y: float
    extent: float
    confidence: float
    kind_odds: dict[str, float]
    colour_odds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Findings:
    objects: tuple[Detected, ...]
    ground: str
    ground_colour: str


class Block(nn.Module):
    """A 3x3 convolution and a mixing one, added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.relu(self.norm(self.spread(x))))  # [B, C, G, G]


def _conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, (kernel - 1) // 2 if stride < 4 else 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True))


class ProbeNet(nn.Module):
    """Pictures [B, 3, S, S] in -1..1 to a grid of object scores [B, 4 + kinds + colours, G, G] and background logits.

    Fine features at stride 4 and 8, context at stride 16, joined again at stride 8 (G = S / 8).
    """

    def __init__(self, spec: ProbeSpec):
        super().__init__()
        self.spec = spec
        c = spec.channels
        self.early = nn.Sequential(_conv(3, c // 2, 6, 4), _conv(c // 2, c // 2))
        self.late = nn.Sequential(_conv(c // 2, c, 3, 2), Block(c))
        self.deep = nn.Sequential(_conv(c, 2 * c, 3, 2), Block(2 * c), Block(2 * c), Block(2 * c))
        self.join = nn.Sequential(_conv(3 * c, 2 * c, 1), Block(2 * c))
        self.grid = nn.Conv2d(2 * c, 4 + len(spec.kinds) + len(spec.colours), 1)
        self.ground = nn.Sequential(
            nn.Linear(c // 2 + 4 * c, c), nn.ReLU(inplace=True), nn.Linear(c, len(spec.grounds) + len(spec.colours))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        early = self.early(x)  # [B, C/2, S/4, S/4]
        late = self.late(early)  # [B, C, G, G]
        deep = self.deep(late)  # [B, 2C, G/2, G/2]
        joined = self.join(torch.cat([late, F.interpolate(deep, scale_factor=2.0)], 1))  # [B, 2C, G, G]
        pooled = torch.cat([early.mean((2, 3)), deep.mean((2, 3)), deep.amax((2, 3))], 1)  # [B, C/2 + 4C]
        return self.grid(joined), self.ground(pooled)

    def features(self, x: Tensor) -> Tensor:
        """Mean and deviation over the picture of each channel, from edges to objects, [B, 8C].

        Blur below a pixel of 128 hardly changes them: the probe has learnt to see through it.
        """
        first = self.early[0](x)
        early = self.early[1](first)
        late = self.late(early)
        levels = [level.flatten(2) for level in (first, early, late, self.deep(late))]
        return torch.cat([level.mean(2) for level in levels] + [level.std(2) for level in levels], 1)


def to_tensor(pictures: Sequence[Image.Image | np.ndarray], size: int) -> Tensor:
    """Pictures as [B, 3, size, size] in -1..1; another size is reduced or enlarged smoothly."""
    arrays = []
    for picture in pictures:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BOX if image.width > size else Image.Resampling.BICUBIC)
        arrays.append(np.asarray(image.convert("RGB")))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def cell_centres(side: int) -> Tensor:
    """Centres of the grid's cells as fractions of the picture, [2 (x, y), G, G]."""
    axis = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y])


class Probe:
    """A trained detector: `look` returns what pictures show."""

    def __init__(self, net: ProbeNet, device: str = "cpu"):
        self.net, self.spec, self.device = net.eval().to(device), net.spec, device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Probe:
        """Read a probe's folder; raises ModelError where it is missing or not one."""
        try:
            values = json.loads((folder / CONFIG).read_text())
            net = ProbeNet(ProbeSpec(**values | {k: tuple(values[k]) for k in ("kinds", "colours", "grounds")}))
            state = load_file(folder / WEIGHTS)
            net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        except FileNotFoundError as error:
            raise ModelError(
                f"There is no probe in {folder.parent.name}/{folder.name}; train it from its recipe first."
            ) from error
        except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"The folder {folder.name} does not hold a probe that can be loaded.") from error
        return cls(net, device)

    def save(self, folder: Path) -> None:
        """Write weights (fp16) and config; the config is written last, so that a half-written folder is not taken for a probe."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.half() if v.is_floating_point() else v for k, v in self.net.state_dict().items()}
        save_file({k: v.contiguous().cpu() for k, v in state.items()}, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(asdict(self.spec), indent=1) + "\n")

    @torch.inference_mode()
    def look(self, pictures: Sequence[Image.Image | np.ndarray], batch: int = 50) -> list[Findings]:
        """What each picture shows."""
        found: list[Findings] = []
        for start in range(0, len(pictures), batch):
            x = to_tensor(pictures[start : start + batch], self.spec.size).to(self.device)
            grid, ground = self.net(x)
            found += decode(self.spec, grid.float().cpu(), ground.float().cpu())
        return found

    @torch.inference_mode()
    def features(self, pictures: Sequence[Image.Image | np.ndarray], batch: int = 50) -> np.ndarray:
        """[n, d] float64, for distances between sets of pictures."""
        parts = [
            self.net.features(to_tensor(pictures[start : start + batch], self.spec.size).to(self.device)).double().cpu()
            for start in range(0, len(pictures), batch)
        ]
        return torch.cat(parts).numpy()

    def name(self) -> str:
        """Names this probe among others: "probe-" and six digits of the hash of its weights in half precision."""
        digest = hashlib.sha256()
        for key, value in sorted(self.net.state_dict().items()):
            digest.update(key.encode() + (value.half() if value.is_floating_point() else value).cpu().numpy().tobytes())
        return f"probe-{digest.hexdigest()[:6]}"


def decode(spec: ProbeSpec, grid: Tensor, ground: Tensor) -> list[Findings]:
    """Scores to detections: the peaks of objectness (5 x 5 maxima) with their likeliest labels."""
    heat = grid[:, 0].sigmoid()  # [B, G, G]
    peak = (heat == F.max_pool2d(heat[:, None], 5, 1, 2)[:, 0]) & (heat >= THRESHOLD)
    place = cell_centres(grid.shape[-1]) + grid[:, 1:3] / grid.shape[-1]  # [B, 2, G, G]
    kinds = grid[:, 4 : 4 + len(spec.kinds)].softmax(1)
    colours = grid[:, 4 + len(spec.kinds) :].softmax(1)
    out = []
    for b in range(len(grid)):
        cells = [(int(y), int(x)) for y, x in peak[b].nonzero()]
        cells = sorted(cells, key=lambda c: -heat[b, c[0], c[1]])[:MOST_OBJECTS]
        objects = []
        for y, x in cells:
            kind_odds = dict(zip(spec.kinds, kinds[b, :, y, x].tolist(), strict=True))
            colour_odds = dict(zip(spec.colours, colours[b, :, y, x].tolist(), strict=True))
            px, py = place[b, :, y, x].tolist()
            kind, colour = (max(odds, key=odds.__getitem__) for odds in (kind_odds, colour_odds))
            extent, sure = float(grid[b, 3, y, x]), float(heat[b, y, x])
            objects.append(Detected(kind, colour, px, py, extent, sure, kind_odds, colour_odds))
        words = len(spec.grounds)
        name = spec.grounds[int(ground[b, :words].argmax())]
        out.append(Findings(tuple(objects), name, spec.colours[int(ground[b, words:].argmax())]))
    return out
