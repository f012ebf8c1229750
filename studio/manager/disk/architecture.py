"""The configuration of a transformer, read from the shapes of its tensors in their publishers' naming. Pure; no torch.

Versions of one family differ in depth, width and a few switches; what shapes do not show is the same in all of them.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from studio.core.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]

SD3_HEAD = 64  # features of one attention head, in every Stable Diffusion 3
FLUX_AXES = (16, 56, 56)  # of a head's features: those that turn with the index, the row, the column


def flux_config(shapes: Shapes) -> dict[str, Any]:
    """FluxTransformer2DModel: dev, schnell, and distillates with fewer blocks."""
    hidden, channels = shapes["img_in.weight"]
    norm = "double_blocks.0.img_attn.norm.key_norm."  # ".weight" in files that went through another library
    head = shapes[norm + ("scale" if norm + "scale" in shapes else "weight")][0]
    return {
        "patch_size": 1,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0],
        "num_layers": _count(shapes, "double_blocks"),
        "num_single_layers": _count(shapes, "single_blocks"),
        "attention_head_dim": head,
        "num_attention_heads": hidden // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "pooled_projection_dim": shapes["vector_in.in_layer.weight"][1],
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
        "axes_dims_rope": list(FLUX_AXES),
    }


def sd3_config(shapes: Shapes) -> dict[str, Any]:
    """SD3Transformer2DModel: 3 medium, 3.5 medium (a second attention in its first blocks), 3.5 large."""
    hidden, channels, patch, _ = shapes["x_embedder.proj.weight"]
    second = {int(m[1]) for key in shapes if (m := re.match(r"joint_blocks\.(\d+)\.x_block\.attn2\.", key))}
    normed = any(key.endswith("attn.ln_q.weight") for key in shapes)
    return {
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": shapes["final_layer.linear.weight"][0] // patch**2,
        "num_layers": _count(shapes, "joint_blocks"),
        "attention_head_dim": SD3_HEAD,
        "num_attention_heads": hidden // SD3_HEAD,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "caption_projection_dim": hidden,
        "pooled_projection_dim": shapes["y_embedder.mlp.0.weight"][1],
        "pos_embed_max_size": math.isqrt(shapes["pos_embed"][1]),
        "dual_attention_layers": sorted(second),
        "qk_norm": "rms_norm" if normed else None,
    }


ARCHITECTURES: dict[str, Callable[[Shapes], dict[str, Any]]] = {
    "FluxTransformer2DModel": flux_config,
    "SD3Transformer2DModel": sd3_config,
}


def schedule_of(class_name: str, shapes: Shapes) -> dict[str, Any]:
    """What the denoiser's shapes show of its scheduler's configuration: FLUX.1 schnell, alone without guidance for an
    input, was distilled on the plain schedule."""
    if class_name != "FluxTransformer2DModel" or "guidance_in.in_layer.weight" in shapes:
        return {}
    return {"shift": 1.0, "use_dynamic_shifting": False}


def config_of(class_name: str, shapes: Shapes) -> dict[str, Any]:
    """What the shapes show of the configuration; {} for classes whose published versions are all alike."""
    read = ARCHITECTURES.get(class_name)
    try:
        return read(shapes) if read else {}
    except KeyError as error:
        raise ModelError(f"Its denoiser lacks the tensor {error.args[0]}.") from None
    except (ValueError, IndexError, ZeroDivisionError):
        raise ModelError("The shapes of its denoiser's tensors are not those of its family.") from None


def _count(shapes: Shapes, stem: str) -> int:
    """How many blocks of the name there are."""
    numbers = {int(m[1]) for key in shapes if (m := re.match(rf"{stem}\.(\d+)\.", key))}
    return max(numbers, default=-1) + 1
