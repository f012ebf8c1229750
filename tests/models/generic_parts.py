"""What the tiny folders of the generic family's pipelines are made of: autoencoders in their real compression, schedulers.

Weights are noise, everywhere, so that every part of a model has its say in the picture.
"""

import json
from pathlib import Path
from typing import Any

from tests.models.components import vae_kl

SIDE = 32


def save(folder: Path, pipeline: str, side: int = SIDE, **components: Any) -> Path:
    import diffusers

    getattr(diffusers, pipeline)(**components).save_pretrained(folder, safe_serialization=True)
    # Without a card the models would make pictures of their real size.
    (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": side, "height": side}}))
    return folder


def flow(**config: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**config)


def dynamic() -> Any:
    return flow(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)


def model(name: str, **config: Any) -> Any:
    """With noise where training begins with nothing, so that every part of the model has its say in the picture."""
    import diffusers
    import torch

    model = getattr(diffusers, name)(**config).eval()
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all() or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def kl(channels: int = 4, levels: int = 4, **config: Any) -> Any:
    return vae_kl(channels, levels, use_quant_conv=False, use_post_quant_conv=False, **config)


def flux2_vae() -> Any:
    """Eightfold, and its latents normed by statistics that it carries as buffers."""
    import torch

    vae = model(
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


def qwen_vae(channels: int = 4) -> Any:
    return model(
        "AutoencoderKLQwenImage",
        base_dim=8,
        z_dim=channels,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * k for k in range(channels)],
        latents_std=[1.0 + 0.1 * k for k in range(channels)],
    )


def deep_vae(levels: int = 6) -> Any:
    """The deep-compression autoencoder: thirty-twofold with six levels."""
    return model(
        "AutoencoderDC",
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4,) * levels,
        decoder_block_out_channels=(4,) * levels,
        encoder_layers_per_block=(1,) * levels,
        decoder_layers_per_block=(1,) * levels,
        encoder_qkv_multiscales=((),) * levels,
        decoder_qkv_multiscales=((),) * levels,
        upsample_block_type="interpolate",
        downsample_block_type="Conv",
        scaling_factor=0.41,
    )


def wan_vae(**config: Any) -> Any:
    return model(
        "AutoencoderKLWan",
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        **config,
    )


PACKED = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
}
