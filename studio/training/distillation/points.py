"""Trains few-step students of a model of points, of every method, in seconds.

The student's file holds the teacher too, under `teacher.`, so that a viewer shows them together.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training.backbones.mlp import PointMLP
from studio.training.config import DensityStudentTask, TrainConfig
from studio.training.density import HELD_OUT, WEIGHTS, DensityLearner
from studio.training.distillation import methods
from studio.training.distillation.denoiser import Conditions
from studio.training.distillation.student import Student
from studio.training.distillation.teachers import point_teacher
from studio.training.pictures import sheet
from studio.training.scatter import scatter
from studio.training.tasks import learners


@learners.register("density_student")
class DensityStudentLearner(Student, DensityLearner):
    """The density and the architecture are the teacher's."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, DensityStudentTask)
        self.distillation, self.method = config.task, methods.get(config.task.method)
        task, weights = point_teacher(config.task.teacher, folder.parent)
        if config.task.guidance[1] > 1 and not task.classes:
            raise InvalidRequest("A teacher without classes has no guidance; leave it at 1.", field="task.guidance")
        torch.manual_seed(config.seed)
        super().__init__(config.model_copy(update={"task": task, "compile": False}), folder)
        classes = self.density.classes if task.classes else 0
        teacher = PointMLP(task.hidden, task.layers, classes)
        teacher.load_state_dict(weights)
        self.model = PointMLP(task.hidden, task.layers, classes, guided=self.method.embeds_guidance)
        self.model.load_state_dict(weights, strict=False)
        self.network = self.model.to(config.device)
        self.first_teacher = {f"teacher.{name}": value.clone() for name, value in teacher.state_dict().items()}
        self.begin(self.model, teacher.to(config.device), self.objective, self.schedule)
        self.noise = torch.randn((HELD_OUT, 2), generator=torch.Generator().manual_seed(config.seed)).to(config.device)
        self.shown = self._given(self.validation["label"])
        self.by_teacher = {n: self._by_teacher(n) for n in config.task.compared}
        self.pairs = self._pairs(config.task.pairs) if self.method.coupled else {}

    def call(self, module: nn.Module, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        return module(x, t, given["label"] if self.task.classes else None, given.get("w"))

    def without(self, given: Conditions) -> Conditions:
        return {**given, "label": torch.full_like(given["label"], self.density.classes)}

    def _given(self, label: Tensor) -> Conditions:
        """The conditions of samples, with the middle of the guidance scales."""
        return {
            "label": label,
            "w": torch.full((len(label),), sum(self.distillation.guidance) / 2, device=label.device),
        }

    @torch.no_grad()
    def _by_teacher(self, n: int) -> np.ndarray:
        """The teacher's samples in n evaluations: with guidance it needs two a step."""
        steps = max(1, n // 2) if self.distillation.guidance[1] > 1 else n
        return np.asarray(self.networks.teacher.solve(self.noise, self.shown, steps).cpu())

    @torch.no_grad()
    def _pairs(self, n: int) -> dict[str, Tensor]:
        """Noise, and what the teacher makes of it: of a class, and without one, as it was trained."""
        rng = np.random.default_rng((self.config.seed, 3))
        _, labels = self.examples(n, rng)
        eps = torch.from_numpy(rng.standard_normal((n, 2), dtype=np.float32)).to(self.config.device)
        given = self._given(torch.from_numpy(labels).to(self.config.device))
        x0 = self.networks.teacher.solve(eps, given, self.distillation.teacher_steps)
        return {"x0": x0.cpu(), "eps": eps.cpu(), "label": torch.from_numpy(labels)}

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step, 4))
        batch = super().batch(step) | {"w": self.scales(self.config.batch, rng)}
        if self.pairs:
            picks = torch.from_numpy(rng.integers(0, len(self.pairs["x0"]), self.config.batch))
            batch |= {name: values[picks] for name, values in self.pairs.items()}
        return batch

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.distill(step, batch)

    @torch.no_grad()
    def drawn_in(self, n: int) -> np.ndarray:
        """The student's samples in n evaluations, of the noise that the teacher's are of."""
        generator = torch.Generator().manual_seed(self.config.seed)
        return np.asarray(self.method.sample(self.networks.student, self.noise, self.shown, n, generator).cpu())

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Distances of student and teacher at equal evaluations, beside the floor; straightness where there is a path."""
        figures: dict[str, float] = {}
        for n in self.distillation.compared:
            figures |= self._distances(self.drawn_in(n), f"_{n}")
            figures |= self._distances(self.by_teacher[n], f"_{n}_teacher")
        if self.method.scheduler != "LCMScheduler":
            figures["straightness"] = self.networks.student.straightness(self.noise, self.shown)
        return {**figures, **self.floor}

    def sample(self, step: int) -> Image.Image:
        """Teacher above student, in as many evaluations."""
        self._write(self.folder / WEIGHTS / f"step-{step:08d}.safetensors", step)
        labels = self.validation["label"].cpu().numpy()
        labels = labels if self.task.classes else np.zeros_like(labels)
        compared = self.distillation.compared
        made = [self.by_teacher[n] for n in compared] + [self.drawn_in(n) for n in compared]
        return sheet([scatter(points, labels) for points in made], columns=len(compared))

    def _more(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        settings = {
            "method": self.distillation.method,
            "sampler": "ode" if self.method.scheduler != "LCMScheduler" else "consistency",
            "guidance": list(self.distillation.guidance),
        }
        return self.first_teacher, settings
