"""Latents to JPEGs in well under a millisecond of arithmetic, so that every step can be shown.

Three ways, best first: a linear patch map fitted to the model's own decoder (`preview.safetensors` beside the model, or
learned from finished runs), the family's published latent-to-RGB factors, and for pixel models the pixels themselves.
Refuses to run the decoder: a step's preview must not cost a step.
"""

import functools
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from safetensors import SafetensorError

from studio.core.frames import X0, XT
from studio.engine.observers import Observer
from studio.engine.patch_map import PatchMap, PatchMapLearner
from studio.engine.tap import TapStep
from studio.manager.families import LatentFormat
from studio.manager.manager import Loaded

JPEG_QUALITY = 80
CELLS = 2**14  # of latents mapped at once, which bounds the memory it takes
LONGEST = 512  # previews from RGB factors are enlarged to this at most
FILE = "preview.safetensors"


@dataclass(frozen=True)
class Pixels:
    """For models that denoise pixels in -1..1: nothing to map."""

    accepts: tuple[int, ...] = (1, 3)  # channels

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> uint8 (n, h, w, 3); one channel is grey."""
        return to_bytes(x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3])


@dataclass(frozen=True)
class Factors:
    """Published latent-to-RGB factors, one colour a latent cell, enlarged to the picture's size."""

    rgb: torch.Tensor  # (3, c, 1, 1)
    bias: torch.Tensor  # (3,)
    factor: int

    @property
    def accepts(self) -> tuple[int, ...]:
        return (self.rgb.shape[1],)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> uint8 (n, H, W, 3)"""
        colours = F.conv2d(x, self.rgb, self.bias)
        enlarge = max(1, min(self.factor, LONGEST // max(x.shape[-2:])))
        return to_bytes(F.interpolate(colours, scale_factor=enlarge, mode="bilinear") if enlarge > 1 else colours)


@dataclass(frozen=True)
class Patches:
    """The fitted map, which speaks the decoder's latents: z = x / scale + shift.

    scale, shift: (1, c, p, p), or with ones for c and p; a p of 2 where cells were folded into channels and normed there.
    """

    patch_map: PatchMap
    scale: torch.Tensor
    shift: torch.Tensor

    @property
    def accepts(self) -> tuple[int, ...]:
        return (self.patch_map.channels,)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> uint8 (n, H, W, 3)"""
        return self.patch_map.pixels(x / _tiled(self.scale, x) + _tiled(self.shift, x))


Map = Pixels | Factors | Patches


class Previewer(Observer):
    """Turns steps' tensors into frames, of each model that it was shown. One per run; safe to use from a side thread.

    `folder` keeps the maps that are learned from finished runs (outputs/.unnoise/previews); None: learn nothing.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = folder
        self._maps: tuple[Map, ...] = ()
        self._learner: PatchMapLearner | None = None
        self._positive = False

    @classmethod
    def for_model(cls, loaded: Loaded, folder: Path | None = None) -> "Previewer":
        previewer = cls(folder)
        previewer.show(loaded)
        return previewer

    def show(self, loaded: Loaded) -> None:
        """From now on show what this model denoises, beside what models of other channels did before it."""
        found, self._learner = _map_for(loaded, self._folder)
        latent = loaded.family.latent
        self._positive = latent is not None and latent.positive
        if found is not None:
            self._maps = (found, *(known for known in self._maps if known.accepts != found.accepts))

    def frames(self, steps: Sequence[TapStep]) -> Iterator[tuple[TapStep, str, int, bytes]]:
        """(step, kind, image, JPEG) of each image of each step: "x0" as predicted, "xt" as the denoiser is shown it."""
        wanted = []
        for step in steps:
            states = {X0.name: step.x0, XT.name: step.x_t * step.scale}
            wanted += [(step, kind, x) for kind, x in states.items() if x is not None and self.shows(x)]
        for _, same in itertools.groupby(wanted, key=lambda row: row[2].shape[1:]):
            rows = list(same)
            jpegs = self._jpegs(torch.cat([x.detach().float() for _, _, x in rows]).cpu())
            for step, kind, _ in rows:
                for image in step.images:
                    yield step, kind, image, next(jpegs)

    def _jpegs(self, latents: torch.Tensor) -> Iterator[bytes]:
        """(n, c, h, w) -> n of them."""
        to_rgb = self._map_of(latents)
        assert to_rgb is not None
        for some in latents.split(max(1, CELLS // (latents.shape[-1] * latents.shape[-2]))):
            with torch.no_grad():
                pixels = to_rgb(some).numpy()
            yield from map(encode_jpeg, pixels)

    def shows(self, latents: torch.Tensor) -> bool:
        """Whether there is a preview of such a batch."""
        return latents.ndim == 4 and self._map_of(latents) is not None

    def _map_of(self, latents: torch.Tensor) -> Map | None:
        return next((known for known in self._maps if latents.shape[1] in known.accepts), None)

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        """Take in what the decoder made of `latents`; a later `for_model` of the same decoder is the better for it."""
        shown = latents.ndim == 4 and latents.is_floating_point()  # and no tokens of a codebook
        if shown and self._learner is not None and self._learner.wants_more:
            self._learner.add(latents, 2 * pixels - 1 if self._positive else pixels)


def _map_for(loaded: Loaded, folder: Path | None) -> tuple[Map | None, PatchMapLearner | None]:
    """The best map there is for what the model denoises, and what may learn a better one from the run."""
    decoder = loaded.family.decoder or ""
    vae, latent = loaded.components.get(decoder), loaded.family.latent
    if vae is None:
        return Pixels(), None
    scale, shift = _scale_and_shift(vae, latent, loaded.family.cells_first)
    shipped = _read_map(loaded.folder / FILE)
    if shipped is not None:
        return Patches(shipped, scale, shift), None
    learner = None
    if folder is not None and (digest := loaded.weights.get(decoder)):
        learner = PatchMapLearner.open(folder / f"{digest[:32]}.safetensors")
        if (learned := learner.solve()) is not None:
            return Patches(learned, scale, shift), learner
    if latent is None or latent.rgb is None:
        return None, learner
    rgb = torch.tensor(latent.rgb).T[:, :, None, None].contiguous()  # (3, c, 1, 1)
    return Factors(rgb, torch.tensor(latent.bias), _downsampling(vae)), learner


def to_bytes(rgb: torch.Tensor) -> torch.Tensor:
    """(n, 3, h, w) in -1..1 -> uint8 (n, h, w, 3)"""
    return ((rgb.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """uint8 (h, w, 3) -> JPEG, quality 80, 4:2:0."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


def _read_map(path: Path) -> PatchMap | None:
    """The map beside a model; a file that cannot be read is as good as none, for a preview is only a preview."""
    try:
        return _map_of(path, path.stat().st_mtime_ns)
    except (OSError, KeyError, SafetensorError):
        return None


@functools.lru_cache(maxsize=4)
def _map_of(path: Path, mtime_ns: int) -> PatchMap:
    return PatchMap.load(path)


def _scale_and_shift(
    vae: object, latent: LatentFormat | None, cells_first: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """What pipelines undo before decoding: the decoder's own configuration, or the family's where it names none."""
    if latent is not None and latent.settled:
        return torch.full((1, 1, 1, 1), latent.scale), torch.full((1, 1, 1, 1), latent.shift)
    config, norm = getattr(vae, "config", None), getattr(vae, "bn", None)
    factor = getattr(config, "scale_factor", None)  # of a PaellaVQModel: what latents are multiplied by
    if factor is not None:
        return torch.full((1, 1, 1, 1), 1 / factor), torch.zeros(1, 1, 1, 1)
    scale, shift = getattr(config, "scaling_factor", None), getattr(config, "shift_factor", None)
    mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    scales = torch.tensor(scale or (latent.scale if latent else 1.0)).view(1, 1, 1, 1)
    shifts = torch.tensor(shift if shift is not None else (latent.shift if latent else 0.0)).view(1, 1, 1, 1)
    if mean is not None and deviation is not None:  # a norm for each channel; Stable Diffusion's kin scale as well
        return (scales if latent else torch.ones(1, 1, 1, 1)) / torch.tensor(deviation).view(1, -1, 1, 1), torch.tensor(
            mean
        ).view(1, -1, 1, 1)
    if isinstance(norm, torch.nn.BatchNorm2d):  # for each cell of 2 x 2, folded into channels as PixelShuffle has it
        deviations = (norm.running_var.float() + getattr(config, "batch_norm_eps", norm.eps)).sqrt().cpu()
        return 1 / _of_cells(deviations, cells_first), _of_cells(norm.running_mean.float().cpu(), cells_first)
    return scales, shifts


def _of_cells(folded: torch.Tensor, cells_first: bool) -> torch.Tensor:
    """(4 c,) -> (1, c, 2, 2)"""
    return folded.view(2, 2, -1).permute(2, 0, 1)[None] if cells_first else folded.view(1, -1, 2, 2)


def _tiled(pattern: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(1, c, p, p) over the cells of x (n, c, h, w)"""
    side = pattern.shape[-1]
    return pattern if side == 1 else pattern.repeat(1, 1, x.shape[-2] // side, x.shape[-1] // side)


def _downsampling(vae: object) -> int:
    """Pixels a latent cell, as diffusers' pipelines compute it."""
    config = getattr(vae, "config", None)
    channels: Any = getattr(config, "block_out_channels", None) or getattr(
        config, "encoder_block_out_channels", (0,) * 4
    )
    return 2 ** (len(channels) - 1)
