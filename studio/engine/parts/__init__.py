"""One file a kind of part: what it adds to a pipeline's call. Importing this package registers them."""

from studio.engine.parts import cascade, controlnet, lora, vae

__all__ = ["cascade", "controlnet", "lora", "vae"]
