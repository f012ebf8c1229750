"""LoRA files of random weights for a tiny Stable Diffusion, under the names that kohya's, diffusers' and peft's tools write."""

from pathlib import Path
from typing import Any

import torch

from tests.models.original_names import Tensors, save

RANK = 4
TARGETS = (".to_q", ".to_k", ".to_v", ".to_out.0", ".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")


def random_lora(module: Any, seed: int) -> dict[str, tuple[Any, Any]]:
    """Layer -> (down, up)."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) * 0.2

    layers = {name: layer for name, layer in module.named_modules() if name.endswith(TARGETS)}
    return {name: (noise(RANK, layer.in_features), noise(layer.out_features, RANK)) for name, layer in layers.items()}


def kohya(file: Path, unet: Any, text_encoder: Any = None, seed: int = 0) -> Path:
    tensors: Tensors = {}
    for prefix, module in (("lora_unet", unet), ("lora_te_text_model", text_encoder)):
        for name, (down, up) in random_lora(module, seed).items() if module is not None else ():
            stem = f"{prefix}_{name.replace('.', '_')}"
            tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            tensors[f"{stem}.alpha"] = torch.tensor(RANK / 2)
    return save(file, tensors)


def peft(file: Path, unet: Any, text_encoder: Any = None, seed: int = 0) -> Path:
    tensors: Tensors = {}
    for prefix, module in (("unet", unet), ("text_encoder", text_encoder)):
        for name, (down, up) in random_lora(module, seed).items() if module is not None else ():
            tensors |= {f"{prefix}.{name}.lora_A.weight": down, f"{prefix}.{name}.lora_B.weight": up}
    return save(file, tensors)
