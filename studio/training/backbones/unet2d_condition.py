"""Stable Diffusion's U-Net, in a stock `StableDiffusionPipeline`. Independent of how it is trained."""

from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from studio.training.backbones.registry import OneTextEncoder, backbones

_ENDS = ("conv_in.", "conv_out.", "time_embedding.")


class UNet2DCondition(OneTextEncoder):
    pads = True
    call: dict[str, Any] = {}
    component = "unet"

    def build(self, model: dict[str, Any], channels: int, side: int, text: nn.Module) -> nn.Module:
        network = UNet2DConditionModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            cross_attention_dim=text.config.hidden_size,
            **model,
        )
        return network.to(memory_format=torch.channels_last)

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        return model(x.to(memory_format=torch.channels_last), t, text, return_dict=False)[0]

    def hidden(self, name: str, parameter: Tensor) -> bool:
        return parameter.ndim in (2, 4) and not name.startswith(_ENDS)

    def pipeline(self, model: nn.Module, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
        return StableDiffusionPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=model,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


backbones.add("unet2d_condition", UNet2DCondition())
