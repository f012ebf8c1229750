"""Writes a LoRA as kohya-ss's sd-scripts do, so that other programs open it: names of tensors and `ss_` metadata.

Independent of how it was trained.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from studio.training.config import LoraTask, TrainConfig
from studio.training.pretrained import Pretrained

MOST_TAGS = 400


def tensors(updates: Mapping[str, Tensor], alpha: float, xl: bool = False) -> dict[str, Tensor]:
    """The component's and peft's names ("unet.down_blocks.0...to_q.lora_A.default.weight") to kohya's, in half precision, each
    layer with its alpha."""
    prefixes = {
        "unet": "lora_unet_",
        "text_encoder": f"lora_te{'1' if xl else ''}_text_model_",
        "text_encoder_2": "lora_te2_text_model_",
    }
    out: dict[str, Tensor] = {}
    for name, value in updates.items():
        part, _, rest = name.partition(".")
        layer, _, factor = rest.partition(".lora_")
        stem = prefixes[part] + layer.removeprefix("text_model.").replace(".", "_")
        out[f"{stem}.lora_{'down' if factor.startswith('A') else 'up'}.weight"] = (
            value.detach().half().cpu().contiguous()
        )
        out[f"{stem}.alpha"] = torch.tensor(alpha, dtype=torch.float16)
    return out


def base_version(base: Pretrained) -> str:
    """sd-scripts' name for the kind of base."""
    if base.xl:
        return "sdxl_base_v1-0"
    if base.unet.config.cross_attention_dim == 1024:
        return "sd_v2_v" if base.objective.prediction == "v_prediction" else "sd_v2"
    return "sd_v1"


def metadata(
    config: TrainConfig, task: LoraTask, base: Pretrained, tags: Mapping[str, int], pictures: int
) -> dict[str, str]:
    """What sd-scripts writes down, and what model browsers show."""
    common = dict(sorted(tags.items(), key=lambda item: -item[1])[:MOST_TAGS])
    size, optimizer = config.data.size, config.optimizer
    values = {
        "ss_output_name": config.name,
        "ss_base_model_version": base_version(base),
        "ss_sd_model_name": Path(task.base).name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": task.rank,
        "ss_network_alpha": task.alpha,
        "ss_v2": base_version(base).startswith("sd_v2"),
        "ss_tag_frequency": json.dumps({f"1_{config.data.name}": common}),
        "ss_num_train_images": min(task.pictures, pictures),
        "ss_resolution": f"({size}, {size})",
        "ss_batch_size_per_device": config.batch,
        "ss_steps": config.steps,
        "ss_max_train_steps": config.steps,
        "ss_learning_rate": optimizer.learning_rate,
        "ss_unet_lr": optimizer.learning_rate,
        "ss_text_encoder_lr": optimizer.learning_rate * task.text_rate if task.text_encoder else "",
        "ss_optimizer": optimizer.name,
        "ss_lr_warmup_steps": optimizer.warmup,
        "ss_seed": config.seed,
        "ss_mixed_precision": "bf16" if config.precision == "bf16" else "no",
        "ss_training_comment": config.title,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora" if base.xl else "stable-diffusion-v1/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": config.title or config.name,
        "modelspec.resolution": f"{size}x{size}",
        "modelspec.prediction_type": "v" if base.objective.prediction == "v_prediction" else "epsilon",
        "modelspec.trigger_phrase": task.trigger,
    }
    return {name: str(value) for name, value in values.items() if value != ""}


def save(
    path: Path,
    updates: Mapping[str, Tensor],
    config: TrainConfig,
    task: LoraTask,
    base: Pretrained,
    tags: Mapping[str, int],
    pictures: int,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors(updates, task.alpha, base.xl), path, metadata(config, task, base, tags, pictures))
