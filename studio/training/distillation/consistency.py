"""Consistency distillation (Song et al. 2023, algorithm 2), and easy consistency tuning (Geng et al. 2024), without a teacher.

f(x_t, t) of the student is to equal f(x_s, s) of its moving average a little nearer to the data.
"""

from typing import Any

import torch
from torch import Tensor

from studio.training.distillation.denoiser import Conditions, Denoiser
from studio.training.distillation.method import Batch, Networks, OnePass, methods

HUBER = 0.01  # differences well above it count as such, those below are squared (Song & Dhariwal 2023, section 3.3)
TUNING_STAGES = 6
SHORTEST = 0.02  # of the times by whose distance tuning is weighted


def pseudo_huber(difference: Tensor) -> Tensor:
    """sqrt(||d||^2 + c^2) - c of each of the n, with c for a mean of squares."""
    return (difference.flatten(1).square().mean(1) + HUBER**2).sqrt() - HUBER


class Consistency(OnePass):
    """x_s is one step of the teacher's ODE from x_t, on a grid of `teacher_steps`."""

    scheduler = "LCMScheduler"

    def error(self, networks: Networks, batch: Batch, options: Any, stage: int) -> Tensor:
        student, n = networks.student, options.teacher_steps
        i = (batch.u * n).long() + 1  # 1..n
        t, s = student.schedule.at(i / n), student.schedule.at((i - 1) / n)
        x_t = student.noised(batch.x0, batch.eps, t)
        with torch.no_grad():
            x_s = networks.teacher.step(x_t, t, s, batch.given)
            target = networks.target.consistency(x_s, s, batch.given)
        return pseudo_huber(student.consistency(x_t, t, batch.given) - target)

    def sample(self, student: Denoiser, x: Tensor, given: Conditions, n: int, generator: torch.Generator) -> Tensor:
        return student.jump(x, given, n, generator)


class EasyTuning(Consistency):
    """x_s has the noise of x_t. s begins at 0, which is diffusion, and from stage to stage comes closer to t."""

    def stages(self, options: Any) -> int:
        return TUNING_STAGES

    def error(self, networks: Networks, batch: Batch, options: Any, stage: int) -> Tensor:
        student, place = networks.student, 1 - batch.u
        t, s = student.schedule.at(place), student.schedule.at(place * (1 - 2.0**-stage))
        with torch.no_grad():
            target = networks.student.consistency(student.noised(batch.x0, batch.eps, s), s, batch.given)
        x_t = student.noised(batch.x0, batch.eps, t)
        return pseudo_huber(student.consistency(x_t, t, batch.given) - target) / place.float().clamp(min=SHORTEST)


methods.add("consistency", Consistency())
methods.add("easy_consistency_tuning", EasyTuning())
