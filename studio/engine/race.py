"""What a race measures of a run: its evaluations, the latents that it ends in, and how far these are from a reference's.

An observer beside others; what is run, and where results go, is not decided here.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from studio.core.race import reference_file
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest
from studio.engine.observers import Observer
from studio.engine.tap import TapStep

REFERENCES_KEPT = 64


class Measuring(Observer):
    """Counts the evaluations of one run and keeps the latents that were decoded; `report` gets each step."""

    def __init__(self, report: Callable[[TapStep], None] = lambda step: None):
        self.evaluations, self.seconds = 0, 0.0
        self.latents: torch.Tensor | None = None
        self._report = report

    def on_step(self, step: TapStep) -> None:
        self.evaluations += len(step.calls)  # guidance does not count twice
        self.seconds = step.elapsed
        self._report(step)

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        self.latents = latents.detach().float().cpu().clone()


@dataclass(frozen=True)
class End:
    """Where a run ended. A model that works on pixels has its picture for latents."""

    latents: torch.Tensor
    picture: PIL.Image.Image

    @classmethod
    def of(cls, latents: torch.Tensor | None, picture: PIL.Image.Image) -> "End":
        return cls(torch.from_numpy(_pixels(picture)) if latents is None else latents, picture)


def latent_error(end: End, reference: End) -> float:
    """Root mean square of the difference over that of the reference."""
    ours, theirs = end.latents.double(), reference.latents.double()
    return float((ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt().clamp_min(1e-12))


def picture_error(end: End, reference: End) -> float:
    """Root mean square of the difference, in levels of 255."""
    return float(np.sqrt(np.square(_pixels(end.picture) - _pixels(reference.picture)).mean()))


def _pixels(picture: PIL.Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), dtype=np.float32)


class References:
    """Reference solutions on disk, one for each request; one that other weights or another dtype made is not taken."""

    def __init__(self, folder: Path):
        self._folder = folder

    def get(self, request: GenerationRequest, recipe: Recipe) -> End | None:
        """`recipe`: of any picture that the same model has just made."""
        path = self._folder / reference_file(request)
        try:
            with safe_open(path, "pt") as file:
                if (file.metadata() or {}).get("made_by") != _made_by(recipe):
                    return None
                latents = file.get_tensor("latents")
            with PIL.Image.open(path.with_suffix(".png")) as picture:
                return End(latents, picture.convert("RGB"))
        except (OSError, SafetensorError):
            return None

    def put(self, request: GenerationRequest, recipe: Recipe, end: End) -> None:
        """A full disk costs the next race its time, and nothing more."""
        path = self._folder / reference_file(request)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file({"latents": end.latents.contiguous()}, path, {"made_by": _made_by(recipe)})
            end.picture.save(path.with_suffix(".png"))
            for old in sorted(self._folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)[:-REFERENCES_KEPT]:
                old.unlink(missing_ok=True)
                old.with_suffix(".png").unlink(missing_ok=True)
        except (OSError, SafetensorError):
            path.unlink(missing_ok=True)


def _made_by(recipe: Recipe) -> str:
    made = json.dumps([recipe.weights, recipe.dtype, recipe.attention, recipe.libraries], sort_keys=True, default=str)
    return hashlib.sha256(made.encode()).hexdigest()
