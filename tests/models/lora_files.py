"""LoRA files of random weights for a tiny Stable Diffusion, under the names that kohya's, diffusers' and peft's tools write."""

from pathlib import Path
from typing import Any

RANK = 4
TARGETS = (".to_q", ".to_k", ".to_v", ".to_out.0", ".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")


def layers_of(module: Any) -> dict[str, Any]:
    return {name: layer for name, layer in module.named_modules() if name.endswith(TARGETS)}


def random_lora(module: Any, seed: int) -> dict[str, tuple[Any, Any]]:
    """Layer -> (down, up)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(RANK, layer.in_features, generator=generator) * 0.2,
            torch.randn(layer.out_features, RANK, generator=generator) * 0.2,
        )
        for name, layer in layers_of(module).items()
    }


def kohya(file: Path, unet: Any, text_encoder: Any = None, seed: int = 0) -> Path:
    import torch

    tensors: dict[str, Any] = {}
    for prefix, module in (("lora_unet", unet), ("lora_te_text_model", text_encoder)):
        for name, (down, up) in random_lora(module, seed).items() if module is not None else ():
            stem = f"{prefix}_{name.replace('.', '_')}"
            tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            tensors[f"{stem}.alpha"] = torch.tensor(RANK / 2)
    return _save(file, tensors)


def peft(file: Path, unet: Any, text_encoder: Any = None, seed: int = 0) -> Path:
    tensors: dict[str, Any] = {}
    for prefix, module in (("unet", unet), ("text_encoder", text_encoder)):
        for name, (down, up) in random_lora(module, seed).items() if module is not None else ():
            tensors |= {f"{prefix}.{name}.lora_A.weight": down, f"{prefix}.{name}.lora_B.weight": up}
    return _save(file, tensors)


def _save(file: Path, tensors: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return file
