"""Tiny random components of pipelines: autoencoders in their real compression, U-Nets, schedulers.

Knows diffusers' classes only; text encoders are in `tiny_text.py`, whole folders in `tiny_models.py` and `generic_models.py`.
"""

import zlib
from typing import Any

import diffusers
import torch

_base = 0


def seed_components(seed: int) -> None:
    """What is made from now on depends on this and on its class alone, whatever was made before it."""
    global _base
    _base = 1000 * seed


def reseed(name: str) -> None:
    """Before one of this class is made."""
    torch.manual_seed(_base + zlib.crc32(name.encode()) % 1000)


def make(name: str, **config: Any) -> Any:
    """A class of diffusers: a model, a scheduler or a pipeline. Models are put into evaluation mode."""
    reseed(name)
    made = getattr(diffusers, name)(**config)
    return made.eval() if isinstance(made, torch.nn.Module) else made


def noisy(name: str, **config: Any) -> Any:
    return filled(make(name, **config))


def filled(model: Any) -> Any:
    """With noise where training begins with zeros, so that every part of the model changes the picture."""
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


# ---- autoencoders ----------------------------------------------------------------------------------------------------


def vae_kl(channels: int = 4, levels: int = 2, **config: Any) -> Any:
    """Stable Diffusion's autoencoder; each level but the first halves the sides."""
    return make("AutoencoderKL", **_levels(levels), latent_channels=channels, **config)


def vae_flow(channels: int = 4, levels: int = 4, **config: Any) -> Any:
    """The same without the convolutions around the latents, as models of flow matching have it."""
    return vae_kl(channels, levels, use_quant_conv=False, use_post_quant_conv=False, **config)


def vae_flux2() -> Any:
    """Eightfold; its latents are normed by statistics that it carries as buffers."""
    vae = noisy("AutoencoderKLFlux2", **_levels(4), layers_per_block=1, latent_channels=4)
    vae.bn.running_mean.copy_(torch.randn(16) * 0.3)
    vae.bn.running_var.copy_(torch.rand(16) + 0.5)
    return vae


def _levels(number: int) -> dict[str, Any]:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * number, "up_block_types": ("UpDecoderBlock2D",) * number}
    return {**blocks, "block_out_channels": (8,) * number, "norm_num_groups": 4, "sample_size": 32}


def vae_tiny(levels: int = 4) -> Any:
    """Its random pictures lie in the middle of the range: in saturated ones every difference would be lost."""
    sides = {f"{side}_block_out_channels": (8,) * levels for side in ("encoder", "decoder")}
    blocks = {f"num_{side}_blocks": (1,) * levels for side in ("encoder", "decoder")}
    vae = make("AutoencoderTiny", **sides, **blocks, scaling_factor=1.0)
    torch.nn.init.constant_(vae.decoder.layers[-1].bias, 0.5)
    return vae


VIDEO = {"dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]}


def vae_deep(levels: int = 6) -> Any:
    """The deep-compression autoencoder: thirty-twofold with six levels."""
    blocks = {"block_types": "ResBlock", "layers_per_block": (1,) * levels, "qkv_multiscales": ((),) * levels}
    blocks |= {"block_out_channels": (4,) * levels}
    sides = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in blocks.items()}
    resampling = {"upsample_block_type": "interpolate", "downsample_block_type": "Conv"}
    return noisy("AutoencoderDC", **sides, **resampling, latent_channels=4, attention_head_dim=2, scaling_factor=0.41)


def movq(levels: int = 2, norm_type: str = "spatial") -> Any:
    """The quantising autoencoder of Kandinsky and of latent diffusion."""
    down = ["DownEncoderBlock2D"] * (levels - 1) + ["AttnDownEncoderBlock2D"]
    up = ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * (levels - 1)
    sizes = {"block_out_channels": [32] * levels, "latent_channels": 4, "norm_num_groups": 8}
    book = {"num_vq_embeddings": 12, "vq_embed_dim": 4, "norm_type": norm_type}
    return make("VQModel", down_block_types=down, up_block_types=up, **sizes, **book)


# ---- U-Nets ----------------------------------------------------------------------------------------------------------

TWO_LEVELS = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8}
RESAMPLING = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), "cross_attention_dim": 32,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "resnet_time_scale_shift": "scale_shift", "attention_head_dim": 8,
}  # fmt: skip


def unet(width: int = 32, *, in_channels: int = 4, sample_size: int = 16, **config: Any) -> Any:
    """Stable Diffusion's U-Net, conditioned on text of this width."""
    down, up = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
    shapes = {"in_channels": in_channels, "out_channels": 4, "sample_size": sample_size, "cross_attention_dim": width}
    blocks = {"down_block_types": down, "up_block_types": up, "attention_head_dim": 8}
    return make("UNet2DConditionModel", **TWO_LEVELS, **blocks, **shapes, **config)


def unet_xl(width: int = 64, pooled: int = 32, *, time: int = 8, conditions: int = 6, **config: Any) -> Any:
    """SDXL's: conditioned on pooled text and on sizes too."""
    sizes = {"addition_time_embed_dim": time, "projection_class_embeddings_input_dim": conditions * time + pooled}
    blocks = {"transformer_layers_per_block": 1, "use_linear_projection": True}
    return unet(width, addition_embed_type="text_time", **sizes, **blocks, **config)


def unet_unconditional(channels: int = 3, *, sample_size: int = 16, **config: Any) -> Any:
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    sizes = {"sample_size": sample_size, "in_channels": channels, "out_channels": channels}
    return make("UNet2DModel", **(TWO_LEVELS | blocks | sizes | config))


# ---- schedulers ------------------------------------------------------------------------------------------------------


def ddim(**config: Any) -> Any:
    return make("DDIMScheduler", **({"beta_schedule": "scaled_linear", "clip_sample": False} | config))


def euler(**config: Any) -> Any:
    spacing = {"timestep_spacing": "leading", "steps_offset": 1}
    return make("EulerDiscreteScheduler", beta_schedule="scaled_linear", **spacing, **config)


def flow(**config: Any) -> Any:
    return make("FlowMatchEulerDiscreteScheduler", **config)


def dynamic(**config: Any) -> Any:
    """Flow matching whose schedule is shifted by the size of the picture."""
    return flow(**({"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15} | config))
