"""What each stage of a run will need, from headers and configurations alone: weights by component, working memory by shape.

The working memory follows measurements of diffusers' models under a fake-tensor tracer (SD 1.5, SDXL, both
autoencoders): a number of elements per latent cell or pixel and channel. It is a lower bound for real kernels, so it
is raised, and replaced by what was measured as soon as a shape has run. No torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.manager.disk.companions import Origin, carried
from studio.manager.disk.folders import vae_scale
from studio.manager.disk.headers import read_header
from studio.manager.disk.safe_files import stamp
from studio.manager.families import Family
from studio.manager.families.blueprints import config_of
from studio.manager.loading import folder_sources
from studio.manager.memory.planner import Part, Stage
from studio.manager.parts import ModelParts

NOTHING: Mapping[str, Any] = MappingProxyType({})
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


def shape_of(info: ModelInfo, request: GenerationRequest | None) -> Shape:
    """Of a request, or of the model's own defaults."""
    defaults = info.defaults
    if request is None:
        first = info.cascade or defaults  # of a cascade's first model, which makes only the first and smallest picture
        return Shape(first.width, first.height, 1, info.capabilities.guided)
    return Shape(
        request.width or defaults.width,
        request.height or defaults.height,
        min(request.batch_size, request.count),
        info.capabilities.guided and request.guidance_scale > 1,
    )


@dataclass(frozen=True)
class Weights:
    """A component's weights as its headers have them."""

    elements: int
    widest: int  # elements of the largest single layer
    config: Mapping[str, Any] = field(default_factory=dict)


def folder_weights(folder: Path) -> dict[str, Weights]:
    """Component -> weights, of a diffusers folder."""
    return {name: weights_of(source.files, source.config) for name, source in folder_sources(folder).items()}


def weights_of(files: Sequence[Path], config: Mapping[str, Any] = NOTHING) -> Weights:
    return Weights(*_file_sizes(tuple(map(stamp, files))), config)


@lru_cache(maxsize=256)
def _file_sizes(stamps: tuple[tuple[str, int, int], ...]) -> tuple[int, int]:
    """Elements in all, and of the widest layer, of files as they are now."""
    return _sizes({key: t.shape for path, _, _ in stamps for key, t in read_header(Path(path)).tensors.items()})


def file_weights(file: Path, family: Family, beside: Mapping[str, Origin] = NOTHING) -> dict[str, Weights]:
    """Component -> weights, of a single-file checkpoint that the family's blueprint, and files `beside`, complete."""
    if (blueprint := family.blueprint) is None:
        return {}
    prefixes = carried(blueprint, read_header(file).tensors)
    out = {}
    for name, origin in ({name: Origin((file,), prefix) for name, prefix in prefixes.items()} | dict(beside)).items():
        tensors = {key: t.shape for path in origin.files for key, t in read_header(path).tensors.items()}
        shapes = {key.removeprefix(origin.prefix): s for key, s in tensors.items() if key.startswith(origin.prefix)}
        config = blueprint.configs.get(name, {}) | config_of(blueprint.parts[name][1], shapes)
        out[name] = Weights(*_sizes(shapes), config)
    return out


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    layers: dict[str, int] = {}
    for key, shape in shapes.items():
        layer = key.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0) + math.prod(shape)
    return sum(layers.values()), max(layers.values(), default=0)


@dataclass(frozen=True)
class Run:
    """A run whose memory is to be estimated."""

    family: Family
    weights: Mapping[str, Weights]  # of its components
    shape: Shape
    dtype: str  # fp32, bf16, fp16
    device: str = "cpu"  # its kind
    attached: Mapping[str, Weights] = field(default_factory=dict)  # to components; in memory in every stage
    extra_elements: int = 0  # in memory while they are attached, beside those of their files
    streamable: bool = True  # whether the denoiser may be streamed
    encoders: frozenset[str] = frozenset()  # beside the family's
    keys: Mapping[str, str] = field(default_factory=dict)  # component -> the planner's key; its own name if not given
    measured: int | None = None  # working memory of the hungriest stage, if such a run was made before

    @property
    def kind(self) -> str:
        """What decides the working memory: measurements are kept by it, so models of one architecture share them."""
        sizes = "-".join(f"{name}{w.elements}" for name, w in sorted((*self.weights.items(), *self.attached.items())))
        shape, guided = self.shape, "guided" if self.shape.guided else "plain"
        return f"{self.family.name}:{sizes}:{shape.width}x{shape.height}x{shape.batch}:{guided}:{self.dtype}"

    def stages(self) -> list[Stage]:
        """Encode, denoise, decode: whichever the family has."""
        family, weights, item = self.family, self.weights, ITEM_BYTES[self.dtype]
        streamed = family.denoiser if self.streamable else ""
        parts = {
            name: Part(self.keys.get(name, name), w.elements * item, 2 * w.widest * item if name == streamed else None)
            for name, w in weights.items()
        }
        known, decoder = self.encoders.union(family.encoders), family.decoder or ""
        encoders = [name for name in parts if name in known]
        denoise = [name for name in parts if name == family.denoiser or name not in (*known, decoder)]
        named = [
            ("encode", encoders, _encode_elements([weights[name] for name in encoders], self.shape)),
            ("denoise", denoise, _denoise_elements(weights, weights.get(family.denoiser), self.shape)),
            ("decode", [decoder] if decoder in parts else [], _decode_elements(weights.get(decoder), self.shape)),
        ]
        working = {name: working_bytes(elements * item, self.device) for name, members, elements in named if members}
        if self.measured is not None:
            hungriest = max(working, key=lambda name: working[name], default="")
            working = {n: self.measured if n == hungriest else min(size, self.measured) for n, size in working.items()}
        more = (sum(w.elements for w in self.attached.values()) + self.extra_elements) * item
        return [
            Stage(name, tuple(parts[member] for member in sorted(members)), working[name] + more)
            for name, members, _ in named
            if members
        ]


def run_of(parts: ModelParts, shape: Shape, dtype: str, device: str, known: Mapping[str, Weights] = NOTHING) -> Run:
    """Of a model with what the parts of a request add; `known` are weights that are not in files of their own yet."""
    weights = {
        name: weights_of(source.files, source.config) if source.files else known[name]
        for name, source in parts.sources.items()
    }
    attached = {name: weights_of([file]) for name, file in parts.attachments.items()}
    attaching = (attached, parts.extra_elements, parts.streamable, parts.encoders)
    return Run(parts.family, weights, shape, dtype, device, *attaching)


def working_bytes(traced: int, device: str) -> int:
    """A traced lower bound, raised by what kernels take on top."""
    return int(RAISE * traced) + min(KERNELS.get(device, KERNELS["cpu"]), 4 * traced + (8 << 20))


def _encode_elements(encoders: Sequence[Weights], shape: Shape) -> int:
    widest = 0
    for encoder in encoders:
        own = encoder.config.get("text_config")  # of a language model that is part of one that also sees pictures
        inner = own if isinstance(own, dict) else encoder.config
        widest = max(widest, inner.get("hidden_size") or inner.get("d_model") or 768)
    return TEXT_TOKENS * TEXT_ELEMENTS * widest * (2 if shape.guided else 1)


def _denoise_elements(weights: Mapping[str, Weights], denoiser: Weights | None, shape: Shape) -> int:
    if denoiser is None:
        return 0
    config = denoiser.config
    scale = vae_scale({name: dict(w.config) for name, w in weights.items()})
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
