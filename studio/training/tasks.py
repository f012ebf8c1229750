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
    """A model with its data and its loss. What happens at a step depends on the config and the step's number alone."""

    def modules(self) -> dict[str, nn.Module]:
        """What is trained, averaged and written to checkpoints, by name."""

    def groups(self) -> list[Group]:
        """The parameters with their shares of the learning rate."""

    def batch(self, step: int) -> dict[str, Tensor]:
        """The data of a step. May be called ahead, in another thread."""

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to descend, and figures to log."""

    def sample(self, step: int) -> Image.Image | None:
        """A picture of what the model can do now (the averaged weights are in place)."""

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out data (the averaged weights are in place)."""

    def export(self, folder: Path) -> None:
        """Write the model as diffusers or transformers would (the averaged weights are in place)."""


# By the recipe's task.kind. The second argument is the run folder, for caches.
learners: Registry[Callable[[TrainConfig, Path], Learner]] = Registry("training task")
