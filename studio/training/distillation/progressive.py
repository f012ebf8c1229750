"""Progressive distillation (Salimans & Ho 2022, algorithm 2): one step of the student is two of the teacher, again and again."""

import math
from typing import Any

import torch
from torch import Tensor

from studio.training.distillation.method import Batch, Networks, OnePass, methods


class Progressive(OnePass):
    """Stages with `first_steps`, half as many, ... and `last_steps` steps of the student."""

    replaces = True

    def stages(self, options: Any) -> int:
        return 1 + int(math.log2(options.first_steps // options.last_steps))

    def error(self, networks: Networks, batch: Batch, options: Any, stage: int) -> Tensor:
        student, teacher, n = networks.student, networks.teacher, options.first_steps >> stage
        at = student.schedule.at
        i = (batch.u * n).long() + 1  # 1..n
        t, middle, s = at(i / n), at((i - 0.5) / n), at((i - 1) / n)
        x_t = student.noised(batch.x0, batch.eps, t)
        (alpha, sigma), (alpha_s, sigma_s) = student.scales(t, x_t), student.scales(s, x_t)
        with torch.no_grad():
            x_s = teacher.step(teacher.step(x_t, t, middle, batch.given), middle, s, batch.given)
            x0 = (x_s - sigma_s / sigma * x_t) / (alpha_s - sigma_s / sigma * alpha)  # of which one step leads to x_s
            target = student.objective.target(x0, (x_t - alpha * x0) / sigma, alpha, sigma)
        return (student.network(x_t, t, batch.given).float() - target).square().flatten(1).mean(1)


methods.add("progressive", Progressive())
