"""Import the parts that register themselves by name, so that recipes find them."""

from studio.training import (  # noqa: F401
    autoencoder,
    classes,
    classifier,
    controlnet,
    density,
    diffusion,
    full,
    inpainting,
    lora,
    pixels,
    text,
)
from studio.training.distillation import pipelines, points  # noqa: F401
