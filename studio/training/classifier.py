"""Trains a classifier of noisy points in the plane, for classifier guidance in the 2-D laboratory.

The model is one safetensors file like that of a density, with logits in place of a prediction.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from studio.training.backbones.point_classifier import PointClassifier
from studio.training.config import ClassifierTask, TrainConfig
from studio.training.datasets.densities import density
from studio.training.denoising import fixed_noise, levels, noise
from studio.training.density import WEIGHTS, write_model
from studio.training.optim import Group
from studio.training.pictures import sheet
from studio.training.scatter import scatter
from studio.training.schedules import schedules
from studio.training.tasks import learners

HELD_OUT = 2000
MODEL = "classifier.safetensors"


@learners.register("classifier")
class ClassifierLearner:
    """E[-log p(class | x_t, t)] over points [2] and all noise levels, drawn anew at every step."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, ClassifierTask)
        self.config, self.task, self.folder = config, config.task, folder
        self.schedule = schedules.get(self.task.schedule)(**self.task.schedule_options)
        self.density = density(self.task.density)
        self.model = PointClassifier(self.task.hidden, self.task.layers, self.density.classes).to(config.device)
        points, labels = self.density.draw(HELD_OUT, np.random.default_rng((config.data.seed, 0)))
        validation = fixed_noise(torch.from_numpy(points), config.seed) | {"label": torch.from_numpy(labels)}
        self.validation = {name: value.to(config.device) for name, value in validation.items()}

    def modules(self) -> dict[str, nn.Module]:
        return {"mlp": self.model}

    def groups(self) -> list[Group]:
        named = tuple(self.model.named_parameters())
        return [Group(named, hidden=lambda name, p: p.ndim == 2 and name.startswith("blocks."))]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, self.config.data.seed, step))
        points, labels = self.density.draw(self.config.batch, rng)
        return noise(torch.from_numpy(points), rng) | {"label": torch.from_numpy(labels)}

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        t = self.schedule.times(batch["u"])
        alpha, sigma = (each.float()[:, None] for each in self.schedule.alpha_sigma(t))
        return self.model(alpha * batch["x0"] + sigma * batch["eps"], t.float())

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error = cross_entropy(self._logits(batch), batch["label"], reduction="none")
        return error.mean(), levels(error.detach(), batch["u"])

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The held-out loss, beside its floor: that of the exact posterior."""
        logits = self._logits(self.validation)
        return {"validation": float(cross_entropy(logits, self.validation["label"])), "validation_floor": self._floor()}

    def _floor(self) -> float:
        t = self.schedule.times(self.validation["u"])
        alpha, sigma = (each.double().cpu().numpy() for each in self.schedule.alpha_sigma(t))
        x0, eps = (self.validation[name].cpu().numpy() for name in ("x0", "eps"))
        shares = self.density.posterior(alpha[:, None] * x0 + sigma[:, None] * eps, alpha, sigma)
        return float(-np.log(shares[np.arange(len(x0)), self.validation["label"].cpu().numpy()] + 1e-30).mean())

    @torch.no_grad()
    def sample(self, step: int) -> Image.Image:
        """Held-out points without noise by their classes, beside the same points by the classes that the model gives them."""
        self._write(self.folder / WEIGHTS / f"step-{step:08d}.safetensors", step)
        x0 = self.validation["x0"]
        given = self.model(x0, torch.zeros(len(x0), device=x0.device)).argmax(dim=1)
        points, labels = x0.cpu().numpy(), self.validation["label"].cpu().numpy()
        return sheet([scatter(points, labels), scatter(points, given.cpu().numpy())], columns=2)

    def export(self, folder: Path) -> None:
        self._write(folder / MODEL, self.config.steps)

    def _write(self, path: Path, step: int) -> None:
        about = {"classifier": self.density.classes, "classes": 0, "layers": self.task.layers, "step": step}
        write_model(path, self.model, self.schedule, self.task.schedule, self.density, self.task.density, about)
