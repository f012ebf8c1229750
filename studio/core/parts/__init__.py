"""The parts. A new one is a file here, a line below, a file in `manager/parts` (what it loads) and one in `engine/parts`
(what it adds to the call)."""

from typing import Annotated

from pydantic import Field

from studio.core.parts.attention import Attention
from studio.core.parts.base import PartBase
from studio.core.parts.branch import Branch
from studio.core.parts.cascade import Cascade
from studio.core.parts.controlnet import ControlNet
from studio.core.parts.embedding import Embedding
from studio.core.parts.ip_adapter import IPAdapter
from studio.core.parts.lora import LoRA
from studio.core.parts.t2i_adapter import T2IAdapter
from studio.core.parts.vae import VAE

KINDS: tuple[type[PartBase], ...] = (
    VAE,
    LoRA,
    Embedding,
    ControlNet,
    T2IAdapter,
    IPAdapter,
    Cascade,
    Branch,
    Attention,
)
Part = Annotated[
    VAE | LoRA | Embedding | ControlNet | T2IAdapter | IPAdapter | Cascade | Branch | Attention,
    Field(discriminator="kind"),
]

PARTS: dict[str, type[PartBase]] = {str(kind.model_fields["kind"].default): kind for kind in KINDS}

__all__ = [
    "KINDS",
    "PARTS",
    "VAE",
    "Attention",
    "Branch",
    "Cascade",
    "ControlNet",
    "Embedding",
    "IPAdapter",
    "LoRA",
    "Part",
    "PartBase",
    "T2IAdapter",
]
