"""What each stage of a run will need, from headers and configurations alone: weights by component, working memory by shape.

The working memory follows measurements of diffusers' models under a fake-tensor tracer (SD 1.5, SDXL, both
autoencoders): a number of elements per latent cell or pixel and channel. It is a lower bound for real kernels, so it
is raised, and replaced by what was measured as soon as a shape has run. No torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from studio.manager.disk.architecture import config_of
from studio.manager.disk.companions import Origin, carried
from studio.manager.disk.folders import SKIPPED, component_config, components_of, read_json, vae_scale, weight_files
from studio.manager.disk.headers import Header, read_header
from studio.manager.families import Family
from studio.manager.memory.file_state import FileState
from studio.manager.memory.planner import Part, Stage

NOTHING: Mapping[str, Origin] = MappingProxyType({})
ITEM_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
UNET_ELEMENTS = 26  # per latent cell and channel of the first block
TRANSFORMER_ELEMENTS = 16  # per token and hidden channel
KL_ELEMENTS = 6  # per pixel and channel of the first block
TINY_ELEMENTS = 3
TEXT_TOKENS, TEXT_ELEMENTS = 256, 20
RAISE = 1.5
# What configurations call a transformer's width, where it is not heads times their size; and a decoder's last one.
HIDDEN = ("hidden_size", "dim", "model_dim")
FIRST = ("decoder_block_out_channels", "block_out_channels", "decoder_base_dim", "base_dim")
KERNELS = {"cpu": 128 << 20, "cuda": 256 << 20}  # scratch space of kernels, at most


@dataclass(frozen=True)
class Shape:
    """What decides a run's working memory."""

    width: int
    height: int
    batch: int = 1
    guided: bool = True


@dataclass(frozen=True)
class Weights:
    """A component's weights as its headers tell them."""

    elements: int
    widest: int  # elements of the largest single layer
    config: dict[str, Any] = field(default_factory=dict)


def folder_weights(folder: Path) -> dict[str, Weights]:
    """Component -> weights, of a diffusers folder."""
    named = [name for name in components_of(read_json(folder / "model_index.json")) if name not in SKIPPED]
    files = {name: weight_files(folder / name)[0] for name in named}
    return {
        name: _component_weights(tuple(FileState.of(file) for file in files[name]), folder, name)
        for name in named
        if files[name]
    }


@lru_cache(maxsize=64)
def _component_weights(files: tuple[FileState, ...], folder: Path, name: str) -> Weights:
    tensors = {key: tensor for file in files for key, tensor in read_header(file.path).tensors.items()}
    return _weights({key: tensor.shape for key, tensor in tensors.items()}, component_config(folder, name))


def file_weights(header: Header, family: Family, beside: Mapping[str, Origin] = NOTHING) -> dict[str, Weights]:
    """Component -> weights, of a single-file checkpoint that the family's blueprint, and files `beside`, complete."""
    out: dict[str, Weights] = {}
    if family.blueprint is None:
        return out
    blueprint = family.blueprint
    own = {name: (prefix, header.tensors) for name, prefix in carried(blueprint, header.tensors).items()}
    lent = {
        name: (origin.prefix, {key: t for file in origin.files for key, t in read_header(file).tensors.items()})
        for name, origin in beside.items()
    }
    for name, (prefix, tensors) in (own | lent).items():
        shapes = {key.removeprefix(prefix): t.shape for key, t in tensors.items() if key.startswith(prefix)}
        out[name] = _weights(shapes, blueprint.configs.get(name, {}) | config_of(blueprint.parts[name][1], shapes))
    return out


def with_vae(weights: dict[str, Weights], file: Path | None) -> dict[str, Weights]:
    """The weights with those of another autoencoder's file in place of the model's own, under whose configuration it
    runs, but for the width, which its tensors tell."""
    if file is None:
        return weights
    shapes = {key: tensor.shape for key, tensor in read_header(file).tensors.items()}
    config = dict(weights["vae"].config) if "vae" in weights else {}
    first = next((shape[0] for key, shape in shapes.items() if key.endswith("encoder.conv_in.weight")), None)
    widths = config.get("block_out_channels") or ()
    if first and widths:
        config["block_out_channels"] = [width * first // widths[0] for width in widths]
    return weights | {"vae": _weights(shapes, config)}


def _weights(shapes: dict[str, tuple[int, ...]], config: dict[str, Any]) -> Weights:
    layers: dict[str, int] = {}
    for key, shape in shapes.items():
        layer = key.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0) + math.prod(shape)
    return Weights(sum(layers.values()), max(layers.values(), default=0), config)


def stages_for(
    family: Family,
    weights: dict[str, Weights],
    shape: Shape,
    dtype: str,
    device: str = "cpu",
    keys: Mapping[str, str] | None = None,  # component -> the planner's key for it; its own name if not given
    measured: int | None = None,  # working memory of the hungriest stage at this shape, if it has run before
) -> list[Stage]:
    """Encode, denoise, decode: whichever the family has."""
    item = ITEM_BYTES[dtype]
    parts = {
        name: Part(
            (keys or {}).get(name, name), w.elements * item, 2 * w.widest * item if name == family.denoiser else None
        )
        for name, w in weights.items()
    }
    decoder = {family.decoder} & parts.keys() if family.decoder else set()
    denoise = {name for name in parts if name == family.denoiser or name not in (*family.encoders, *decoder)}
    named = [
        ("encode", {name for name in family.encoders if name in parts}, _encode_elements(weights, family, shape)),
        ("denoise", denoise, _denoise_elements(weights.get(family.denoiser), weights, shape)),
        ("decode", decoder, _decode_elements(weights.get(family.decoder or ""), shape)),
    ]
    rough = {name: working_bytes(elements * item, device) for name, members, elements in named if members}
    if measured is not None:
        hungriest = max(rough, key=lambda name: rough[name], default="")
        rough = {name: measured if name == hungriest else min(size, measured) for name, size in rough.items()}
    return [
        Stage(name, tuple(parts[member] for member in sorted(members)), rough[name])
        for name, members, _ in named
        if members
    ]


def working_bytes(traced: int, device: str) -> int:
    """A traced lower bound, raised by what kernels take on top."""
    return int(RAISE * traced) + min(KERNELS.get(device, KERNELS["cpu"]), 4 * traced + (8 << 20))


def _encode_elements(weights: dict[str, Weights], family: Family, shape: Shape) -> int:
    widths = [_text_width(w.config) for n, w in weights.items() if n in family.encoders]
    return TEXT_TOKENS * TEXT_ELEMENTS * max(widths, default=0) * (2 if shape.guided else 1)


def _text_width(config: dict[str, Any]) -> int:
    """Of the language model, where it is part of one that sees as well."""
    own = config.get("text_config")
    inner = own if isinstance(own, dict) else config
    return inner.get("hidden_size") or inner.get("d_model") or 768


def _denoise_elements(denoiser: Weights | None, weights: dict[str, Weights], shape: Shape) -> int:
    if denoiser is None:
        return 0
    config = denoiser.config
    scale = vae_scale({name: w.config for name, w in weights.items()})
    cells = shape.width * shape.height // scale**2 * shape.batch * (2 if shape.guided else 1)
    first = _first(config.get("block_out_channels"), 0)
    if first:
        return cells * first * UNET_ELEMENTS
    patch = config.get("patch_size") or 2
    heads = (config.get("num_attention_heads") or 1) * (config.get("attention_head_dim") or 64)
    hidden = next((config[key] for key in HIDDEN if isinstance(config.get(key), int)), heads)
    return cells // (patch**2 if isinstance(patch, int) else 4) * hidden * TRANSFORMER_ELEMENTS


def _decode_elements(decoder: Weights | None, shape: Shape) -> int:
    if decoder is None:
        return 0
    tiny = "num_decoder_blocks" in decoder.config
    first = next((_first(decoder.config.get(key), 0) for key in FIRST if decoder.config.get(key)), 0) or 128
    return shape.width * shape.height * shape.batch * first * (TINY_ELEMENTS if tiny else KL_ELEMENTS)


def _first(widths: Any, otherwise: int) -> int:
    """The width of the first block, as configurations have it: a list, or one number for all."""
    width = widths[0] if isinstance(widths, list) and widths else widths
    return width if isinstance(width, int) and width else otherwise
