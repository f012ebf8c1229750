"""Import the parts that register themselves by name, so that recipes find them."""

from studio.training import autoencoder, controlnet, density, diffusion, full, inpainting, lora, pixels, text  # noqa: F401
