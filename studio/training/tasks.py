"""The interface between the trainer and what it trains, and the registry of its implementations."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PIL import Image
from torch import Tensor, nn

from studio.core.registry import Registry
from studio.training.config import TrainConfig
from studio.training.optim import Group


class Learner(Protocol):
    """A model with its data and its loss. What happens at a step depends on the config and the step's number alone.

    One with processes that draw its batches also has `close()`, which ends them when no more are needed; one with other networks
    that change also has `kept()`: those by name, for checkpoints.
    """

    def modules(self) -> dict[str, nn.Module]:
        """What is trained, averaged and written to checkpoints, by name."""

    def groups(self) -> list[Group]:
        """The parameters, each group with its factor of the learning rate."""

    def batch(self, step: int) -> dict[str, Tensor]:
        """The data of a step. May be called ahead, in another thread."""

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and metrics to log."""

    def sample(self, step: int) -> Image.Image | None:
        """A sample of the model as it is now (with the averaged weights)."""

    def evaluate(self) -> dict[str, float]:
        """Metrics on held-out data (with the averaged weights)."""

    def export(self, folder: Path) -> None:
        """Write the model as diffusers or transformers would (with the averaged weights)."""


# By the recipe's task.kind. The second argument is the run folder, for caches.
learners: Registry[Callable[[TrainConfig, Path], Learner]] = Registry("training task")
