"""What each kind of part needs in memory: one file a kind. Importing this package fills the registry; nothing here loads
torch until something is loaded."""

from studio.manager.parts import controlnet, embedding, ip_adapter, lora, t2i_adapter, vae
from studio.manager.parts.base import SUPPORTS, Context, ModelParts, Support

__all__ = [
    "SUPPORTS",
    "Context",
    "ModelParts",
    "Support",
    "controlnet",
    "embedding",
    "ip_adapter",
    "lora",
    "t2i_adapter",
    "vae",
]
