"""Stable Diffusion XL's U-Net, conditioned on two text encoders and on sizes, in a stock `StableDiffusionXLPipeline`.

Independent of how it is trained.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection

from studio.training.backbones.registry import backbones
from studio.training.backbones.sd3 import Text, TextEncoders

SIZES = 6  # the original height and width, the crop's corner, the target's height and width
SIZE_WIDTH = 32  # of the embedding of one of these
_ENDS = ("conv_in.", "conv_out.", "time_embedding.", "add_embedding.")


class SDXL:
    pads = True
    own_attention = False
    call: dict[str, Any] = {}
    component = "unet"

    def attention(self) -> AttnProcessor:
        return AttnProcessor()

    def load_text(self, folder: Path) -> TextEncoders:
        first = CLIPTextModelWithProjection.from_pretrained(
            folder / "text_encoder", attn_implementation="eager", dtype=torch.float32
        )
        return TextEncoders(first)

    def encode(self, text: nn.Module, ids: Tensor, mask: Tensor) -> Text:
        """The pooled embedding is the second encoder's alone."""
        tokens, pooled = text(ids)
        return tokens, pooled[:, -text.second.config.projection_dim :]

    def build(self, model: dict[str, Any], channels: int, side: int, text: nn.Module) -> nn.Module:
        network = UNet2DConditionModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            cross_attention_dim=text.first.config.hidden_size + text.second.config.hidden_size,
            addition_embed_type="text_time",
            addition_time_embed_dim=SIZE_WIDTH,
            projection_class_embeddings_input_dim=text.second.config.projection_dim + SIZES * SIZE_WIDTH,
            **model,
        )
        return network.to(memory_format=torch.channels_last)

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Any, mask: Tensor) -> Tensor:
        tokens, pooled = text
        height, width = (8 * side for side in x.shape[-2:])
        sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32, device=x.device)
        added = {"text_embeds": pooled, "time_ids": sizes.expand(len(x), SIZES)}
        x = x.to(memory_format=torch.channels_last)
        return model(x, t, tokens, added_cond_kwargs=added, return_dict=False)[0]

    def hidden(self, name: str, parameter: Tensor) -> bool:
        return parameter.ndim in (2, 4) and not name.startswith(_ENDS)

    def pipeline(self, model: nn.Module, vae: Any, text: Any, tokenizer: Any, scheduler: Any) -> Any:
        return StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=text.first,
            text_encoder_2=text.second,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            unet=model,
            scheduler=scheduler,
            force_zeros_for_empty_prompt=False,  # captions that are left out in training are read as empty ones
            add_watermarker=False,
        )


backbones.add("sdxl", SDXL())
