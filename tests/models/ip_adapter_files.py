"""IP-Adapters of random weights for a tiny U-Net, in the publishers' layout, and a tiny CLIP image encoder's folder."""

from pathlib import Path
from typing import Any

import torch

from tests.models.original_names import Tensors, save

HIDDEN, EMBEDDING, TOKENS, DEPTH = 32, 24, 4, 4


def image_encoder(folder: Path, hidden: int = HIDDEN, embedding: int = EMBEDDING) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(11)
    sizes = {"hidden_size": hidden, "intermediate_size": 2 * hidden, "projection_dim": embedding}
    config = CLIPVisionConfig(**sizes, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def ip_adapter(file: Path, unet: Any, *, plus: bool = False, seed: int = 0) -> Path:
    """Of the projected embedding, or ("plus") of the encoder's last but one layer."""
    generator = torch.Generator().manual_seed(seed)
    width = unet.config.cross_attention_dim

    def noise(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) * 0.3

    projection = _resampler(width, noise) if plus else {
        "proj.weight": noise(4 * width, EMBEDDING), "proj.bias": noise(4 * width),
        "norm.weight": 1 + noise(width), "norm.bias": noise(width),
    }  # fmt: skip
    tensors: Tensors = {f"image_proj.{name}": tensor for name, tensor in projection.items()}
    cross = [name for name in unet.attn_processors if not name.endswith("attn1.processor")]
    for place, name in enumerate(cross):
        rows, columns = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape
        tensors |= {f"ip_adapter.{2 * place + 1}.to_{side}_ip.weight": noise(rows, columns) for side in "kv"}
    return save(file, tensors)


def _resampler(width: int, noise: Any) -> Tensors:
    tensors: Tensors = {
        "latents": noise(1, TOKENS, HIDDEN), "proj_in.weight": noise(HIDDEN, HIDDEN), "proj_in.bias": noise(HIDDEN),
        "proj_out.weight": noise(width, HIDDEN), "proj_out.bias": noise(width),
        "norm_out.weight": 1 + noise(width), "norm_out.bias": noise(width),
    }  # fmt: skip
    for block in range(DEPTH):
        attention, mlp = f"layers.{block}.0", f"layers.{block}.1"
        for norm in (f"{attention}.norm1", f"{attention}.norm2", f"{mlp}.0"):
            tensors |= {f"{norm}.weight": 1 + noise(HIDDEN), f"{norm}.bias": noise(HIDDEN)}
        tensors |= {f"{attention}.to_q.weight": noise(64, HIDDEN), f"{attention}.to_kv.weight": noise(128, HIDDEN)}
        tensors |= {f"{attention}.to_out.weight": noise(HIDDEN, 64), f"{mlp}.1.weight": noise(4 * HIDDEN, HIDDEN)}
        tensors[f"{mlp}.3.weight"] = noise(HIDDEN, 4 * HIDDEN)
    return tensors
