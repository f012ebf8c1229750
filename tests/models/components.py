"""Tiny random components of pipelines: autoencoders in their real compression, U-Nets, schedulers.

Knows diffusers' classes only; text encoders are in `text.py`, whole folders in `tiny_models.py` and `generic_models.py`.
"""

import zlib
from typing import Any

from studio import compat

compat.prepare()

import diffusers  # noqa: E402
import torch  # noqa: E402

PREDICTS_NOISE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


_base = 0


def seed_components(seed: int) -> None:
    """What `make` makes from now on depends on this and on its class alone, whatever was made before it."""
    global _base
    _base = 1000 * seed


def make(name: str, **config: Any) -> Any:
    """A class of diffusers: a model, a scheduler or a pipeline. Models are put into evaluation mode."""
    torch.manual_seed(_base + zlib.crc32(name.encode()) % 1000)
    made = getattr(diffusers, name)(**config)
    return made.eval() if isinstance(made, torch.nn.Module) else made


def noisy(name: str, **config: Any) -> Any:
    """A model with noise where training begins with zeros, so that every part of it changes the picture."""
    model = make(name, **config)
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


# ---- autoencoders ----------------------------------------------------------------------------------------------------


def vae_kl(channels: int = 4, levels: int = 2, **config: Any) -> Any:
    """Stable Diffusion's autoencoder; each level but the first halves the sides."""
    return make(
        "AutoencoderKL",
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=32,
        **config,
    )


def vae_flow(channels: int = 4, levels: int = 4, **config: Any) -> Any:
    """The same without the convolutions around the latents, as models of flow matching have it."""
    return vae_kl(channels, levels, use_quant_conv=False, use_post_quant_conv=False, **config)


def vae_tiny(levels: int = 4) -> Any:
    """Its random pictures lie in the middle of the range: in saturated ones every difference would be lost."""
    model = make(
        "AutoencoderTiny",
        encoder_block_out_channels=(8,) * levels,
        decoder_block_out_channels=(8,) * levels,
        num_encoder_blocks=(1,) * levels,
        num_decoder_blocks=(1,) * levels,
        scaling_factor=1.0,
    )
    torch.nn.init.constant_(model.decoder.layers[-1].bias, 0.5)
    return model


def vae_flux2() -> Any:
    """Eightfold; its latents are normed by statistics that it carries as buffers."""
    vae = noisy(
        "AutoencoderKLFlux2",
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )
    vae.bn.running_mean.copy_(torch.randn(16) * 0.3)
    vae.bn.running_var.copy_(torch.rand(16) + 0.5)
    return vae


VIDEO = {"dim_mult": [1, 1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [False, True, True]}


def vae_qwen(channels: int = 4) -> Any:
    means, deviations = [0.1 * k for k in range(channels)], [1.0 + 0.1 * k for k in range(channels)]
    sizes = {"base_dim": 8, "z_dim": channels, "latents_mean": means, "latents_std": deviations}
    return noisy("AutoencoderKLQwenImage", **VIDEO, **sizes)


def vae_deep(levels: int = 6) -> Any:
    """The deep-compression autoencoder: thirty-twofold with six levels."""
    sides = {
        "block_out_channels": (4,) * levels,
        "layers_per_block": (1,) * levels,
        "qkv_multiscales": ((),) * levels,
        "block_types": "ResBlock",
    }
    return noisy(
        "AutoencoderDC",
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()},
        latent_channels=4,
        attention_head_dim=2,
        upsample_block_type="interpolate",
        downsample_block_type="Conv",
        scaling_factor=0.41,
    )


def movq(levels: int = 2, norm_type: str = "spatial") -> Any:
    """The quantising autoencoder of Kandinsky and of latent diffusion."""
    plain = levels - 1
    return make(
        "VQModel",
        block_out_channels=[32] * levels,
        down_block_types=["DownEncoderBlock2D"] * plain + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * plain,
        latent_channels=4,
        norm_num_groups=8,
        norm_type=norm_type,
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )


# ---- U-Nets ----------------------------------------------------------------------------------------------------------

TWO_LEVELS = {"block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8}
RESAMPLING = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "resnet_time_scale_shift": "scale_shift",
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
}
XL = {"addition_embed_type": "text_time", "transformer_layers_per_block": 1, "use_linear_projection": True}


def unet(width: int = 32, *, in_channels: int = 4, sample_size: int = 16, **config: Any) -> Any:
    """Stable Diffusion's U-Net, conditioned on text of this width."""
    return make(
        "UNet2DConditionModel",
        **TWO_LEVELS,
        sample_size=sample_size,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=8,
        **config,
    )


def unet_xl(width: int = 64, pooled: int = 32, *, time: int = 8, conditions: int = 6, **config: Any) -> Any:
    """SDXL's: conditioned on pooled text and on sizes too."""
    inputs = conditions * time + pooled
    return unet(width, addition_time_embed_dim=time, projection_class_embeddings_input_dim=inputs, **XL, **config)


def unet_unconditional(channels: int = 3, *, sample_size: int = 16, **config: Any) -> Any:
    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    sizes = {"sample_size": sample_size, "in_channels": channels, "out_channels": channels}
    return make("UNet2DModel", **(TWO_LEVELS | blocks | sizes | config))


# ---- schedulers ------------------------------------------------------------------------------------------------------


def ddim(**config: Any) -> Any:
    fixed = {"beta_schedule": "scaled_linear", "clip_sample": False}
    return make("DDIMScheduler", **(fixed | config))


def euler(**config: Any) -> Any:
    fixed = {"beta_schedule": "scaled_linear", "timestep_spacing": "leading", "steps_offset": 1}
    return make("EulerDiscreteScheduler", **(fixed | config))


def flow(**config: Any) -> Any:
    return make("FlowMatchEulerDiscreteScheduler", **config)


def dynamic(**config: Any) -> Any:
    """Flow matching whose schedule is shifted by the size of the picture."""
    return flow(**({"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15} | config))


def seeded(seed: int) -> None:
    torch.manual_seed(seed)
