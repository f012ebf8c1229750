"""Denoisers by name. A new one is a file here that adds itself to the registry."""

from studio.training.backbones import pixart, sd3, sdxl, unet2d_condition  # noqa: F401  (they add themselves)
from studio.training.backbones.registry import Backbone, backbones

__all__ = ["Backbone", "backbones"]
