"""Few-step students of a trained denoiser. A new method is a file here that adds itself to the registry."""

from studio.training.distillation import consistency, lcm, progressive, reflow  # noqa: F401  (they add themselves)
from studio.training.distillation.method import Batch, Method, Networks, methods

__all__ = ["Batch", "Method", "Networks", "methods"]
