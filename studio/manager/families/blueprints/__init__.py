"""What a single-file checkpoint leaves out: its components' configurations, as their publishers wrote them, one JSON each.

And what of a transformer's configuration its tensors' shapes show, in their publishers' naming: versions of one family
differ in depth, width and a few switches.
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
SD3_HEAD = 64  # features of one attention head, in every Stable Diffusion 3
FLUX_AXES = (16, 56, 56)  # of a head's features: those that turn with the index, the row, the column

# Where a checkpoint in CompVis' naming keeps each component.
PREFIXES: dict[str, tuple[str, ...]] = {
    "unet": ("model.diffusion_model.", "diffusion_model."),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
    "transformer": ("model.diffusion_model.", "diffusion_model."),
}


@dataclass(frozen=True)
class Companion:
    """A file that brings one component to a checkpoint without it: of this kind, and of this variant or family.

    `name` is an expression that its path must fit where headers do not say enough; `example` what it is published as.
    """

    kind: str
    example: str
    variant: str = ""
    family: str = ""
    name: str = ""


@dataclass(frozen=True)
class Blueprint:
    """`parts` maps a component to (library, class); `tokenizers` to the padding token of a CLIP tokenizer; `prefixes` to where
    its tensors are in the file; `companions` to the file that brings it where this one does not."""

    pipeline: str
    parts: dict[str, tuple[str, str]]
    configs: dict[str, dict[str, Any]]
    tokenizers: dict[str, str]
    arguments: dict[str, Any] = field(default_factory=dict)
    prefixes: dict[str, tuple[str, ...]] = field(default_factory=lambda: PREFIXES)
    companions: dict[str, Companion] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()  # components that the pipeline does without
    # Component -> a square matrix that files leave out: the identity.
    identities: dict[str, str] = field(default_factory=dict)


@functools.cache
def blueprint(name: str) -> Blueprint:
    """The blueprint of `name`.json."""
    data = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    data["parts"] = {part: tuple(where) for part, where in data["parts"].items()}
    data["prefixes"] = PREFIXES | {part: tuple(found) for part, found in data.get("prefixes", {}).items()}
    data["companions"] = {part: Companion(**companion) for part, companion in data.get("companions", {}).items()}
    data["optional"] = frozenset(data.get("optional", ()))
    return Blueprint(**data)


def schedule_of(class_name: str, shapes: Shapes) -> dict[str, Any]:
    """What the denoiser's shapes show of its scheduler's configuration: FLUX.1 schnell, alone without guidance for an
    input, was distilled on the plain schedule."""
    if class_name != "FluxTransformer2DModel" or "guidance_in.in_layer.weight" in shapes:
        return {}
    return {"shift": 1.0, "use_dynamic_shifting": False}


def config_of(class_name: str, shapes: Shapes) -> dict[str, Any]:
    """What the shapes show of the configuration; {} for classes whose published versions are all alike."""
    try:
        if class_name == "FluxTransformer2DModel":
            return _flux_config(shapes)
        return _sd3_config(shapes) if class_name == "SD3Transformer2DModel" else {}
    except KeyError as error:
        raise ModelError(f"Its denoiser lacks the tensor {error.args[0]}.") from None
    except (ValueError, IndexError, ZeroDivisionError):
        raise ModelError("The shapes of its denoiser's tensors are not those of its family.") from None


def _flux_config(shapes: Shapes) -> dict[str, Any]:
    """Of dev, schnell, and distillates with fewer blocks."""
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


def _sd3_config(shapes: Shapes) -> dict[str, Any]:
    """Of 3 medium, 3.5 medium (a second attention in its first blocks), 3.5 large."""
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


def _count(shapes: Shapes, stem: str) -> int:
    """How many blocks of the name there are."""
    numbers = {int(m[1]) for key in shapes if (m := re.match(rf"{stem}\.(\d+)\.", key))}
    return max(numbers, default=-1) + 1
