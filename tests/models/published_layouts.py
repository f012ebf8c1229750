"""Whole checkpoints and attachments at their published size: every tensor's name and shape, without data.

`sparse_headers.py` holds the few tensors that tell models apart; here are all of them, so that no rule is misled by the
rest. Shapes come from the classes of diffusers and transformers with the published configurations.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import diffusers
import torch
import transformers

from studio.manager.families.blueprints import blueprint
from tests.models.original_names import P, open_clip_original, text_original, unet_original, vae_original

Shapes = dict[str, tuple[int, ...]]


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


@cache
def _made(name: str, settings: str, renamed: Callable[[Any], dict[str, Any]] | None) -> Shapes:
    with torch.device("meta"):
        if hasattr(diffusers, name):
            module = getattr(diffusers, name)(**json.loads(settings))
        else:
            model = getattr(transformers, name)
            module = model(model.config_class(**json.loads(settings)))
    tensors = renamed(module) if renamed else module.state_dict()
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def made(name: str, renamed: Callable[[Any], dict[str, Any]] | None = None, **settings: Any) -> Shapes:
    """Every tensor of a class with these settings, under its publisher's names where `renamed` gives them."""
    return dict(_made(name, json.dumps(settings), renamed))


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def _component(family: str, name: str, renamed: Callable[[Any], dict[str, Any]], **changes: Any) -> Shapes:
    """Of the model whose published configurations these are."""
    published = blueprint(family)
    return made(published.parts[name][1], renamed, **(published.configs[name] | changes))


def _unet(family: str, inputs: int = 4, **changes: Any) -> Shapes:
    names = _component(family, "unet", unet_original, in_channels=inputs, **changes)
    return {name.removeprefix(P): shape for name, shape in names.items()}


sd1, sd2, refiner = (partial(_unet, family) for family in ("sd1", "sd2", "sdxl-refiner"))  # (inputs=4) -> Shapes


def unclip() -> Shapes:
    """Stable Diffusion 2 conditioned on a picture's embedding too."""
    first: Shapes = {"label_emb.0.0.weight": (1280, 2048), "label_emb.0.0.bias": (1280,)}
    return sd2() | first | {"label_emb.0.2.weight": (1280, 1280), "label_emb.0.2.bias": (1280,)}


def sdxl(inputs: int = 4, depth: int = 10) -> Shapes:
    return _unet("sdxl", inputs, transformer_layers_per_block=(1, 2, depth))


def ldm_vae(channels: int = 4, quant: bool = True) -> Shapes:
    ends = {"use_quant_conv": quant, "use_post_quant_conv": quant}
    names = _component("sd1", "vae", vae_original, latent_channels=channels, **ends)
    return {name.removeprefix("first_stage_model."): shape for name, shape in names.items()}


def _clip(width: int, layers: int) -> dict[str, int]:
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
    return sizes | {"num_hidden_layers": layers}


def clip_text(width: int = 768, layers: int = 12) -> Shapes:
    """transformers' CLIPTextModel, as in checkpoints and in ComfyUI's clip_l.safetensors."""
    return _component("sd1", "text_encoder", text_original, **_clip(width, layers))


def open_clip(width: int, layers: int) -> Shapes:
    sizes = _clip(width, layers) | {"projection_dim": width}
    return _component("sdxl", "text_encoder_2", open_clip_original, **sizes) | {"logit_scale": ()}


t5 = partial(_component, "sd3", "text_encoder_3", text_original)


def checkpoint(denoiser: Shapes, text: Shapes, vae: Shapes | None = None) -> Shapes:
    return prefixed(P, denoiser) | text | prefixed("first_stage_model.", vae or ldm_vae())


SD1_TEXT = prefixed("cond_stage_model.transformer.", clip_text())
SD2_TEXT = prefixed("cond_stage_model.model.", open_clip(1024, 23))
SDXL_TEXT = prefixed("conditioner.embedders.0.transformer.", clip_text())
SDXL_TEXT |= prefixed("conditioner.embedders.1.model.", open_clip(1280, 32))


# ---- attachments -----------------------------------------------------------------------------------------------------

# What they hold for a linear layer: the sides of each tensor by letters, out and into, the rank and the factor.
KOHYA = {"alpha": "", "lora_down.weight": "ri", "lora_up.weight": "or"}
PEFT = {"lora_A.weight": "ri", "lora_B.weight": "or"}
DORA = PEFT | {"lora_magnitude_vector": "o"}
LOHA = {"hada_w1_a": "or", "hada_w1_b": "ri", "hada_w2_a": "or", "hada_w2_b": "ri", "alpha": ""}
Layer = tuple[str, int, int]


def _layers(shapes: Shapes, where: str = ".transformer_blocks.", ends: tuple[str, ...] = (".weight",)) -> list[Layer]:
    """(name, out, into) of each linear layer; those of the attentions by default."""
    return [
        (name.removesuffix(".weight"), *shape)
        for name, shape in shapes.items()
        if name.endswith(ends) and len(shape) == 2 and where in name
    ]


def _attached(layers: list[Layer], stem: str, tensors: dict[str, str], rank: int, joint: str = "_") -> Shapes:
    return {
        f"{stem}{name.replace('.', joint)}.{ending}": tuple({"o": out, "i": into, "r": rank}[side] for side in sides)
        for name, out, into in layers
        for ending, sides in tensors.items()
    }


def kohya(layers: Shapes, prefix: str = "lora_unet_", rank: int = 16) -> Shapes:
    return _attached(_layers(layers), prefix, KOHYA, rank)


def kohya_text(text: Shapes, prefix: str, rank: int = 16) -> Shapes:
    return _attached(_layers(text, "", ("proj.weight", "fc1.weight", "fc2.weight")), prefix, KOHYA, rank)


def peft(layers: Shapes, prefix: str, rank: int = 16, dora: bool = False) -> Shapes:
    return _attached(_layers(layers), prefix, DORA if dora else PEFT, rank, ".")


def loha(layers: Shapes, rank: int = 8) -> Shapes:
    return _attached(_layers(layers), "lora_unet_", LOHA, rank)


def lokr(layers: Shapes, factor: int = 8) -> Shapes:
    large = [(name, out // factor, into // factor) for name, out, into in _layers(layers)]
    return _attached(large, "lora_unet_", {"lokr_w1": "rr", "lokr_w2": "oi", "alpha": ""}, factor)


def old_diffusers(layers: Shapes, rank: int = 4) -> Shapes:
    """Attention processors of diffusers before 0.19."""
    attentions = [(name.removesuffix(".0"), out, into) for name, out, into in _layers(layers) if ".to_" in name]
    names = [(name.replace(".to_", ".processor.to_") + "_lora", out, into) for name, out, into in attentions]
    return _attached(names, "unet.", {"down.weight": "ri", "up.weight": "or"}, rank, ".")


def ip_adapter(context: int, image: Shapes, lora: bool = False, layers: int = 16) -> Shapes:
    shapes = prefixed("image_proj.", image)
    for layer in range(1, 2 * layers, 2):
        stem = f"ip_adapter.{layer}.to_"
        shapes |= {f"{stem}{part}_ip.weight": (320, context) for part in "kv"}
        for part in ("q", "k", "v", "out") if lora else ():
            shapes |= {f"{stem}{part}_lora.down.weight": (128, 320), f"{stem}{part}_lora.up.weight": (320, 128)}
    return shapes


def _conv(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into, 3, 3), f"{name}.bias": (out,)}


def rrdb(names: str = "body.{0}.rdb{1}.conv{2}", blocks: int = 23) -> Shapes:
    shapes = _conv("conv_first", 64, 3) | _conv("conv_last", 3, 64)
    for block in range(blocks):
        for dense in (1, 2, 3):
            for conv in (1, 2, 3, 4, 5):
                shapes |= _conv(names.format(block, dense, conv), 64 if conv == 5 else 32, 64 + 32 * (conv - 1))
    return shapes


def swinir() -> Shapes:
    shapes = _conv("conv_first", 180, 3) | _conv("conv_last", 3, 64)
    for layer in range(6):
        for block in range(6):
            stem = f"layers.{layer}.residual_group.blocks.{block}"
            for part, out in (("attn.qkv", 540), ("mlp.fc1", 360)):
                shapes |= {f"{stem}.{part}.weight": (out, 180), f"{stem}.{part}.bias": (out,)}
    return shapes
