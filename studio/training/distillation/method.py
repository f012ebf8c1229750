"""What each distillation method must offer, and their registry. Independent of networks and data."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from studio.core.registry import Registry
from studio.training.distillation.denoiser import Conditions, Denoiser


@dataclass(frozen=True)
class Networks:
    """`target` is a slowly moving average of the student; the teacher already applies guidance."""

    student: Denoiser
    target: Denoiser
    teacher: Denoiser


@dataclass(frozen=True)
class Batch:
    x0: Tensor  # [n, ...]
    eps: Tensor  # [n, ...]
    u: Tensor  # [n] uniform in [0, 1), stratified
    given: Conditions = field(default_factory=dict)


class Method(Protocol):
    coupled: bool  # whether batches are pairs of noise and what the teacher makes of it
    embeds_guidance: bool  # whether the student reads a guidance scale
    scheduler: str  # the stock diffusers scheduler that samples the student

    def stages(self, options: Any) -> int:
        """In how many stages of equal length it trains. A stage begins with the target as the teacher, if `replaces`."""

    replaces: bool

    def error(self, networks: Networks, batch: Batch, options: Any, stage: int) -> Tensor:
        """The loss of each of the n."""

    def sample(self, student: Denoiser, x: Tensor, given: Conditions, n: int, generator: torch.Generator) -> Tensor:
        """From noise x to data in n evaluations of the student."""


methods: Registry[Method] = Registry("distillation method")


class OnePass:
    """What most methods share: one stage, a student that reads no guidance scale and follows an ODE."""

    coupled = embeds_guidance = replaces = False
    scheduler = "DDIMScheduler"

    def stages(self, options: Any) -> int:
        return 1

    def sample(self, student: Denoiser, x: Tensor, given: Conditions, n: int, generator: torch.Generator) -> Tensor:
        return student.solve(x, given, n)
