"""The linear patch map: each 3x3 neighbourhood of latents to its block of pixels, by least squares. One small convolution.

Knows latents and pixels; does not know models. A map is learned from (latent, decoded picture) pairs through its
normal equations, so pairs need not be kept and learning may go on over many runs.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

RIDGE = 1e-4  # relative to the mean square of the features
ENOUGH_IMAGES = 4  # a map from fewer would show their colours on everything
MOST_IMAGES = 64  # more would change nothing that can be seen


@dataclass(frozen=True)
class PatchMap:
    """`weight` (3 f f, c, 3, 3), `bias` (3 f f,); f pixels a latent cell, in f's own order of PixelShuffle."""

    weight: torch.Tensor
    bias: torch.Tensor

    @property
    def channels(self) -> int:
        return self.weight.shape[1]

    @property
    def factor(self) -> int:
        return round((self.weight.shape[0] / 3) ** 0.5)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, 3, f h, f w)"""
        return F.pixel_shuffle(F.conv2d(z, self.weight, self.bias, padding=1), self.factor)

    def pixels(self, z: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> uint8 (n, f h, f w, 3): what `__call__` gives in -1..1, rounded; half its cost on a CPU."""
        n, _, h, w = z.shape
        features = F.unfold(z, 3, padding=1).transpose(1, 2).reshape(n * h * w, -1)  # (n h w, 9 c)
        cells = torch.addmm(self._offset, features, self._matrix).clamp_(0, 255).to(torch.uint8)
        rows = cells.view(n, h, w, self.factor, -1).transpose(2, 3)  # (n, h, f, w, 3 f)
        return rows.reshape(n, h * self.factor, w * self.factor, 3)

    @cached_property
    def _matrix(self) -> torch.Tensor:
        """(9 c, 3 f f): features to values of 0 to 255, of a cell's pixels in the order they have in a picture."""
        cells = (self.weight * 127.5).reshape(3, self.factor, self.factor, -1)
        return cells.permute(1, 2, 0, 3).reshape(len(self.weight), -1).T.contiguous()

    @cached_property
    def _offset(self) -> torch.Tensor:
        """(3 f f,), with the half that makes cutting off a rounding."""
        cells = ((self.bias + 1) * 127.5 + 0.5).reshape(3, self.factor, self.factor)
        return cells.permute(1, 2, 0).reshape(-1).contiguous()

    def save(self, path: Path) -> None:
        _write(path, {"weight": self.weight.contiguous(), "bias": self.bias.contiguous()})

    @classmethod
    def load(cls, path: Path) -> "PatchMap":
        tensors = load_file(path)
        return cls(tensors["weight"].float(), tensors["bias"].float())


class PatchMapLearner:
    """Sums of the normal equations, kept in a file between runs."""

    def __init__(self, path: Path | None = None):
        self.path = path
        self.images = 0
        self._gram: torch.Tensor | None = None  # (9 c + 1, 9 c + 1)
        self._target: torch.Tensor | None = None  # (9 c + 1, 3 f f)

    @classmethod
    def open(cls, path: Path) -> "PatchMapLearner":
        """Go on from the file's sums; from nothing if there is none, or it cannot be read."""
        learner = cls(path)
        try:
            tensors = load_file(path)
            learner._gram, learner._target = tensors["gram"], tensors["target"]
            learner.images = int(tensors["images"])
        except (OSError, KeyError, SafetensorError):
            pass
        return learner

    @property
    def wants_more(self) -> bool:
        return self.images < MOST_IMAGES

    def add(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        """(n, c, h, w) as given to the decoder and (n, 3, f h, f w) in -1..1 as it gave them; other shapes are passed over."""
        if latents.ndim != 4 or pixels.ndim != 4 or pixels.shape[1] != 3:
            return
        factor = pixels.shape[-1] // latents.shape[-1]
        if pixels.shape[-2:] != (latents.shape[-2] * factor, latents.shape[-1] * factor):
            return
        gram, target = _normal_equations(latents, pixels, factor)
        before = self._gram, self._target
        if before[0] is None or before[1] is None or before[0].shape != gram.shape or before[1].shape != target.shape:
            self.images = 0
        else:
            gram, target = before[0] + gram, before[1] + target
        self._gram, self._target = gram, target
        self.images += len(latents)
        if self.path is not None:
            self._keep(self.path, {"gram": gram, "target": target.contiguous()})

    def solve(self) -> PatchMap | None:
        """The map so far; None while there are too few pictures."""
        if self._gram is None or self.images < ENOUGH_IMAGES:
            return None
        size = len(self._gram)
        ridge = RIDGE * self._gram.diagonal().mean() * torch.eye(size, dtype=self._gram.dtype)
        solution = torch.linalg.solve(self._gram + ridge, self._target)  # (9 c + 1, 3 f f)
        channels = (size - 1) // 9
        weight = solution[:-1].T.reshape(-1, channels, 3, 3)
        return PatchMap(weight.float().contiguous(), solution[-1].float().contiguous())

    def _keep(self, path: Path, sums: dict[str, torch.Tensor]) -> None:
        """Previews are a comfort: a full disk must not stop a run for them."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, sums | {"images": torch.tensor(self.images)})
        except OSError:
            self.path = None


def fit_preview(vae: Any, latents: torch.Tensor, *, batch: int = 16) -> PatchMap:
    """Fit a map to a decoder from latents (n, c, h, w) as it takes them; n of a few hundred is plenty."""
    learner = PatchMapLearner()
    parameter = next(vae.parameters())
    with torch.no_grad():
        for some in latents.split(batch):
            pixels = vae.decode(some.to(parameter.device, parameter.dtype)).sample
            learner.add(some, pixels)
    fitted = learner.solve()
    if fitted is None:
        raise ValueError(f"{len(latents)} latents are too few to fit a preview; give {ENOUGH_IMAGES} or more")
    return fitted


def _normal_equations(latents: torch.Tensor, pixels: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(9 c + 1, 9 c + 1) and (9 c + 1, 3 f f), in double precision on the CPU."""
    z, rgb = latents.detach().double().cpu(), pixels.detach().double().cpu().clamp(-1, 1)
    features = F.unfold(z, 3, padding=1).transpose(1, 2).flatten(0, 1)  # (n h w, 9 c)
    features = torch.cat([features, torch.ones(len(features), 1, dtype=features.dtype)], dim=1)
    blocks = F.pixel_unshuffle(rgb, factor).flatten(2).transpose(1, 2).flatten(0, 1)  # (n h w, 3 f f)
    return features.T @ features, features.T @ blocks


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file(tensors, temporary)
    os.replace(temporary, path)
