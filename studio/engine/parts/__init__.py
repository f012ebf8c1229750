"""One file a kind of part: what it adds to a pipeline's call. Importing this package registers them."""

from studio.engine.parts import attention, branch, cascade, controlnet, embedding, ip_adapter, lora, t2i_adapter, vae

__all__ = ["attention", "branch", "cascade", "controlnet", "embedding", "ip_adapter", "lora", "t2i_adapter", "vae"]
