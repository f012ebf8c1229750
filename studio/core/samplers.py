"""The sampler table: solver x spacing as plain data, and which pairs a model may use. Builds nothing, imports no torch.

A row names a diffusers scheduler class and the config it overrides; `studio.engine.samplers` builds it with
`Class.from_config(model's own config, **overrides)`. Names are spelled as k-diffusion and diffusers spell them.
"""

from dataclasses import dataclass, field
from typing import Any

from studio.core.registry import Registry


@dataclass(frozen=True)
class Solver:
    """One row: how to step. `evaluations` is the denoiser's calls per step; `predictions` what it can be fed."""

    name: str
    title: str
    scheduler: str  # diffusers class name
    overrides: dict[str, Any] = field(default_factory=dict)
    predictions: frozenset[str] = frozenset({"epsilon", "v_prediction", "sample"})
    spacings: tuple[str, ...] = ("default",)
    evaluations: int = 1
    stochastic: bool = False
    distilled: bool = False  # legal only for few-step (consistency-distilled) models
    help: str = ""


@dataclass(frozen=True)
class Spacing:
    """One column: how noise levels are spread over the steps."""

    name: str
    title: str
    overrides: dict[str, Any] = field(default_factory=dict)
    families: frozenset[str] | None = None  # None: any
    help: str = ""


SOLVERS: Registry[Solver] = Registry("sampler")
SPACINGS: Registry[Spacing] = Registry("spacing")
