"""LoRA files of random weights for a tiny Stable Diffusion, under the names that kohya's, diffusers' and peft's tools write."""

import json
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


def raw_peft(file: Path, unet: Any, seed: int = 0) -> Path:
    """As peft itself saves a model: names that say nothing of the component, and the scale beside the file."""
    tensors: Tensors = {}
    for name, (down, up) in random_lora(unet, seed).items():
        tensors |= {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    saved = save(file, tensors)
    file.with_name("adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": RANK / 2}))
    return saved


def whole(file: Path, unet: Any, flavour: str, seed: int = 0, text_encoder: Any = None) -> Path:
    """LoHa, LoKr, DoRA or full differences on the attention layers, in kohya's names."""
    generator, tensors = torch.Generator().manual_seed(seed), Tensors()

    def noise(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator) * 0.2

    for prefix, module in (("lora_unet", unet), ("lora_te_text_model", text_encoder)):
        layers = module.named_modules() if module is not None else ()
        for name, layer in ((name, layer) for name, layer in layers if name.endswith((".to_q", ".to_k", ".q_proj"))):
            rows, columns = layer.weight.shape
            leaves = {
                "loha": {
                    "hada_w1_a": noise(rows, RANK), "hada_w1_b": noise(RANK, columns),
                    "hada_w2_a": noise(rows, RANK), "hada_w2_b": noise(RANK, columns), "alpha": torch.tensor(2.0),
                },
                "lokr": {"lokr_w1": noise(2, 2), "lokr_w2": noise(rows // 2, columns // 2), "alpha": torch.tensor(1.0)},
                "dora": {
                    "lora_down.weight": noise(RANK, columns), "lora_up.weight": noise(rows, RANK),
                    "dora_scale": 1 + noise(rows, 1).abs(), "alpha": torch.tensor(2.0),
                },
                "full": {"diff": noise(rows, columns)},
            }[flavour]  # fmt: skip
            tensors |= {f"{prefix}_{name.replace('.', '_')}.{leaf}": tensor for leaf, tensor in leaves.items()}
    return save(file, tensors)
