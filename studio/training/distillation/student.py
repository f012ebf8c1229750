"""A student, its moving average and its teacher as they go through the stages of a method; for learners of any data.

Independent of the method, of networks and of data.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from studio.training.config import TrainConfig
from studio.training.denoising import levels
from studio.training.distillation.denoiser import Conditions, Denoiser
from studio.training.distillation.method import Batch, Method, Networks
from studio.training.objectives import Objective
from studio.training.schedules import Schedule


class Student:
    """Mixed into a learner, which calls `begin` and says how its networks are called and what a batch holds of conditions."""

    config: TrainConfig
    method: Method
    distillation: Any  # the task

    def call(self, module: nn.Module, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        """The prediction with these conditions. The guidance scale, "w", is read by students whose method embeds it."""
        raise NotImplementedError

    def without(self, given: Conditions) -> Conditions:
        """The conditions with the text or class left out."""
        raise NotImplementedError

    def begin(self, student: nn.Module, teacher: nn.Module, objective: Objective, schedule: Schedule) -> None:
        self.student, self.teacher = student, teacher
        self.target = copy.deepcopy(student)
        for module in (self.teacher, self.target):
            module.eval().requires_grad_(False)
        self.copied = False  # whether the teacher is an earlier student, which needs no guidance any more

        def denoiser(call: Any) -> Denoiser:
            return Denoiser(call, objective, schedule)

        self.networks = Networks(
            student=denoiser(lambda x, t, given: self.call(self.student, x, t, given)),
            target=denoiser(lambda x, t, given: self.call(self.target, x, t, given)),
            teacher=denoiser(self.guided),
        )

    def guided(self, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        """The teacher with classifier-free guidance (Ho & Salimans 2022) of the scales given["w"]."""
        out = self.call(self.teacher, x, t, {name: value for name, value in given.items() if name != "w"})
        if self.copied or bool((given["w"] == 1).all()):
            return out
        w = given["w"].view(-1, *(1,) * (x.ndim - 1))
        rest = self.without({name: value for name, value in given.items() if name != "w"})
        without = self.call(self.teacher, x, t, rest)
        return without + w * (out - without)

    def stage(self, step: int) -> int:
        return min(step, self.config.steps - 1) * self.method.stages(self.distillation) // self.config.steps

    def scales(self, n: int, rng: Any) -> Tensor:
        """Guidance scales of n."""
        low, high = self.distillation.guidance
        return torch.from_numpy(rng.uniform(low, high, n)).float() if low < high else torch.full((n,), float(low))

    def distill(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if step:
            self._average()
        if self.method.replaces and self.stage(step):
            if self.stage(step) != self.stage(step - 1):
                self.teacher.load_state_dict(self.target.state_dict())
            self.copied = True
        given = {name: value for name, value in batch.items() if name not in ("x0", "eps", "u")}
        data = Batch(batch["x0"].float(), batch["eps"].float(), batch["u"], given)
        error = self.method.error(self.networks, data, self.distillation, self.stage(step))
        return error.mean(), levels(error.detach(), batch["u"])

    @torch.no_grad()
    def _average(self) -> None:
        """target <- mu target + (1 - mu) student."""
        mine, theirs = list(self.target.parameters()), [p.detach() for p in self.student.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - self.distillation.target_ema)

    def kept(self) -> dict[str, nn.Module]:
        """What a checkpoint needs beside what is trained."""
        return {"target": self.target} | ({"teacher": self.teacher} if self.method.replaces else {})
