"""The registry of denoisers, and what each must offer."""

from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel

from studio.core.registry import Registry


class Backbone(Protocol):
    """A diffusers denoiser and the stock pipeline that samples it."""

    pads: bool  # whether the pipeline reads the padding of a text too (no mask)
    call: dict[str, Any]  # what the pipeline's call needs for sizes other than its own
    own_attention: bool  # whether `attention` computes what no stock processor does, so that every device needs it
    component: str  # the denoiser's name in the pipeline's folder

    def load_text(self, folder: Path) -> nn.Module:
        """What reads the text, from the folder of a trained text encoder. Raises OSError or ValueError."""

    def attention(self) -> Any:
        """The attention processor that trains fastest on processors."""

    def encode(self, text: nn.Module, ids: Tensor, mask: Tensor) -> Any:
        """Token ids and mask [n, tokens] -> the text as `predict` takes it."""

    def build(self, model: dict[str, Any], channels: int, side: int, text: nn.Module) -> nn.Module:
        """The network for latents [n, channels, side, side] and a text that `text` reads."""

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Any, mask: Tensor) -> Tensor:
        """x [n, c, h, w], t [n], the encoded text, mask [n, tokens] -> [n, c, h, w]."""

    def hidden(self, name: str, parameter: Tensor) -> bool:
        """Whether Muon may take the parameter."""

    def pipeline(self, model: nn.Module, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
        """The stock text-to-image pipeline around the denoiser."""


class OneTextEncoder:
    """The text side of the pipelines that have one CLIP text encoder and read its last layer."""

    pads: bool
    own_attention = False

    def attention(self) -> AttnProcessor:
        return AttnProcessor()

    def load_text(self, folder: Path) -> nn.Module:
        return CLIPTextModel.from_pretrained(folder / "text_encoder", attn_implementation="eager", dtype=torch.float32)

    def encode(self, text: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
        return text(ids, attention_mask=None if self.pads else mask)[0]  # [n, tokens, width]


backbones: Registry[Backbone] = Registry("backbone")
