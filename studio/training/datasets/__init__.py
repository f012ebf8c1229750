"""The data sets a model can be trained on, by name. A new one is a file that adds itself to the registry."""

from studio.training.datasets import digits, emoji, folder, published, tinyworld  # noqa: F401  (they add themselves)
from studio.training.datasets.registry import datasets

__all__ = ["datasets"]
