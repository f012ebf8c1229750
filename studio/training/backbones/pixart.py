"""PixArt-alpha's transformer, in a stock `PixArtAlphaPipeline`. Independent of how it is trained."""

from typing import Any

from diffusers import PixArtAlphaPipeline, PixArtTransformer2DModel
from torch import Tensor, nn

from studio.training.backbones.registry import OneTextEncoder, backbones


class PixArt(OneTextEncoder):
    pads = False
    call: dict[str, Any] = {"use_resolution_binning": False}
    component = "transformer"

    def build(self, model: dict[str, Any], channels: int, side: int, text: nn.Module) -> nn.Module:
        sizes = {"num_attention_heads": 4, "attention_head_dim": 64, "num_layers": 8, "patch_size": 2, **model}
        return PixArtTransformer2DModel(
            sample_size=side,
            in_channels=channels,
            out_channels=channels,
            caption_channels=text.config.hidden_size,
            cross_attention_dim=sizes["num_attention_heads"] * sizes["attention_head_dim"],
            use_additional_conditions=False,
            **sizes,
        )

    def predict(self, model: nn.Module, x: Tensor, t: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        sizes = {"resolution": None, "aspect_ratio": None}
        return model(
            x,
            encoder_hidden_states=text,
            timestep=t,
            added_cond_kwargs=sizes,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0]

    def hidden(self, name: str, parameter: Tensor) -> bool:
        return parameter.ndim == 2 and name.startswith("transformer_blocks.") and "scale_shift_table" not in name

    def pipeline(self, model: nn.Module, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
        return PixArtAlphaPipeline(
            tokenizer=tokenizer, text_encoder=text_encoder, vae=vae, transformer=model, scheduler=scheduler
        )


backbones.add("pixart", PixArt())
