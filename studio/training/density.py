"""Trains an MLP on a density in the plane: every objective and noise schedule, in seconds.

The model is one safetensors file with what a viewer needs beside the weights: noise scales by time and the density itself.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from studio.evaluation.points import off_mode, sliced_wasserstein
from studio.training.backbones.mlp import PointMLP
from studio.training.config import DensityTask, TrainConfig
from studio.training.datasets.densities import Density, density
from studio.training.denoising import errors, fixed_noise, levels, noise, solve
from studio.training.objectives import objectives
from studio.training.optim import Group
from studio.training.pictures import sheet
from studio.training.scatter import scatter
from studio.training.schedules import STEPS, Schedule, schedules
from studio.training.tasks import learners

HELD_OUT = 2000
MODEL = "density.safetensors"
WEIGHTS = "weights"  # folder of the run: the averaged weights at each sample


@learners.register("density")
class DensityLearner:
    """E || out(x_t, t, class) - target ||^2 on points [2], drawn anew at every step."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, DensityTask)
        self.config, self.task, self.folder = config, config.task, folder
        self.objective = objectives.get(self.task.objective)
        self.schedule = schedules.get(self.task.schedule)(**self.task.schedule_options)
        self.density = density(self.task.density, np.array(self.task.drawing))
        classes = self.density.classes if self.task.classes else 0
        self.model = PointMLP(self.task.hidden, self.task.layers, classes).to(config.device)
        self.network = torch.compile(self.model) if config.compile else self.model
        self.held_out, labels = self.density.draw(HELD_OUT, np.random.default_rng((config.data.seed, 0)))
        again, _ = self.density.draw(HELD_OUT, np.random.default_rng((config.data.seed, 1)))
        self.floor = self._distances(again, "_floor")
        self.drawn: np.ndarray | None = None
        validation = fixed_noise(torch.from_numpy(self.held_out), config.seed) | {"label": torch.from_numpy(labels)}
        self.validation = {name: value.to(config.device) for name, value in validation.items()}

    def modules(self) -> dict[str, nn.Module]:
        return {"mlp": self.model}

    def groups(self) -> list[Group]:
        named = tuple(self.model.named_parameters())
        return [Group(named, hidden=lambda name, p: p.ndim == 2 and name.startswith("blocks."))]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, self.config.data.seed, step))
        points, labels = self.examples(self.config.batch, rng)
        return noise(torch.from_numpy(points), rng) | {"label": torch.from_numpy(labels)}

    def examples(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points [n, 2] and their classes [n], of which a share is left out (for CFG) where the model reads them."""
        points, labels = self.density.draw(n, rng)
        if self.task.classes:
            labels = np.where(rng.random(len(labels)) < self.task.unconditional, self.density.classes, labels)
        return points, labels

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error, factor = self._errors(batch)
        return (error * factor).mean(), levels(error.detach(), batch["u"])

    def _errors(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        label = batch["label"] if self.task.classes else None
        return errors(
            batch,
            lambda x, t: self.network(x, t, label),
            self.objective,
            self.schedule,
            self.task.weighting,
            self.task.loss,
        )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The held-out loss, and distances of samples from held-out points, each beside its floor: another draw's."""
        error, factor = self._errors(self.validation)
        self.drawn = self._draw()
        return {"validation": float((error * factor).mean()), **self._distances(self.drawn), **self.floor}

    def _distances(self, points: np.ndarray, suffix: str = "") -> dict[str, float]:
        distance = sliced_wasserstein(points, self.held_out)
        far = off_mode(points, self.density.centres, self.density.std)
        return {f"sliced_wasserstein{suffix}": distance, f"off_mode{suffix}": far}

    @torch.no_grad()
    def _draw(self) -> np.ndarray:
        """As many samples as held-out points [n, 2], of their classes, from noise that never changes."""
        generator = torch.Generator().manual_seed(self.config.seed)
        x = torch.randn((HELD_OUT, 2), generator=generator).to(self.config.device)
        label = self.validation["label"] if self.task.classes else None
        scheduler = self.schedule.scheduler(self.objective.prediction)
        return np.asarray(solve(scheduler, lambda x, t: self.model(x, t, label), x, self.task.sample_steps).cpu())

    def sample(self, step: int) -> Image.Image:
        """Held-out points beside samples: those that were just evaluated, where there are any. The weights are kept as they
        are now, for the 2-D laboratory."""
        self._write(self.folder / WEIGHTS / f"step-{step:08d}.safetensors", step)
        labels = self.validation["label"].cpu().numpy()
        shown = labels if self.task.classes else np.zeros_like(labels)
        drawn, self.drawn = self._draw() if self.drawn is None else self.drawn, None
        return sheet([scatter(self.held_out, shown), scatter(drawn, shown)], columns=2)

    def export(self, folder: Path) -> None:
        self._write(folder / MODEL, self.config.steps)

    def _write(self, path: Path, step: int) -> None:
        classes = self.density.classes if self.task.classes else 0
        about = {"objective": self.task.objective, "classes": classes, "layers": self.task.layers, "step": step}
        more, own = self._more()
        write_model(
            path, self.model, self.schedule, self.task.schedule, self.density, self.task.density, about | own, more
        )

    def _more(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and settings that a kind of model has beside those of all."""
        return {}, {}


def write_model(
    path: Path,
    model: nn.Module,
    schedule: Schedule,
    schedule_name: str,
    points: Density,
    name: str,
    about: dict[str, Any],
    more: dict[str, Tensor] | None = None,  # tensors
) -> None:
    """The weights, alpha and sigma at every whole time, and the density's components, with the settings as metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    alpha, sigma = schedule.alpha_sigma(torch.arange(STEPS))
    tensors = {f"mlp.{name}": p.detach().cpu().contiguous() for name, p in model.state_dict().items()}
    tensors |= {"alpha": alpha.float(), "sigma": sigma.float()}
    tensors |= {"centres": torch.from_numpy(points.centres).float(), "labels": torch.from_numpy(points.labels).float()}
    settings = {"density": name, "std": points.std, "schedule": schedule_name} | about
    part = path.with_suffix(".part")
    save_file(tensors | (more or {}), part, metadata={"format": "pt", "unnoise": json.dumps(settings)})
    part.replace(path)
