"""Reflow (Liu et al. 2022, algorithm 1): trained on pairs of noise and the teacher's result, the paths become straight.

On a variance preserving schedule this is the same method: DDIM follows the straight path in other coordinates.
"""

from typing import Any

from torch import Tensor

from studio.training.denoising import errors
from studio.training.distillation.method import Batch, Networks, OnePass, methods


class Reflow(OnePass):
    coupled = True

    def error(self, networks: Networks, batch: Batch, options: Any, stage: int) -> Tensor:
        student = networks.student
        arrays = {"x0": batch.x0, "eps": batch.eps, "u": batch.u}
        error, _ = errors(
            arrays, lambda x, t: student.network(x, t, batch.given), student.objective, student.schedule, "uniform"
        )
        return error


methods.add("reflow", Reflow())
