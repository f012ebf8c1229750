"""LoHa, LoKr, full differences and DoRA: flavours that change a layer's weight as a whole, for the length of a run.

The layer gets a new weight, W + weight * (W' - W), and afterwards its own one back, the very same tensor. W' as in LyCORIS
(Yeh et al. 2023) and DoRA (Liu et al. 2024, eq. 5). Does not read files.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import Header
from studio.manager.disk.safe_files import shown

LEAF = re.compile(
    r"^(?P<stem>.+?)\.(?P<leaf>hada_[wt][12](_[ab])?|lokr_[wt][12](_[ab])?|lora_(A|B|up|down|mid)(\.default)?\.weight"
    r"|lora_magnitude_vector(\.default)?(\.weight)?|dora_scale|diff|diff_b|alpha)$"
)
WHOLE = ("hada_", "lokr_", "dora_scale", "lora_magnitude_vector", "diff", "diff_b")
SPELLED = {"lora_A": "down", "lora_up": "up", "lora_B": "up", "lora_down": "down", "lora_mid": "mid"}
RESNET = {
    "in_layers_2": "conv1", "out_layers_3": "conv2", "emb_layers_1": "time_emb_proj", "skip_connection": "conv_shortcut",
    "in_layers_0": "norm1", "out_layers_0": "norm2", "downsamplers_0_op": "downsamplers_0_conv",
}  # fmt: skip
OUTER = {
    "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2", "input_blocks_0_0": "conv_in",
    "label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2", "out_2": "conv_out",
}  # fmt: skip
Leaves = Mapping[str, Any]  # leaf -> tensor


def changes_whole_weights(header: Header) -> bool:
    """Whether the file is of one of these flavours, rather than plain pairs of small matrices."""
    return any((found := LEAF.match(key)) and found["leaf"].startswith(WHOLE) for key in header.tensors)


def replaced_elements(header: Header) -> int:
    """How many numbers the new weights of all its layers have, from the shapes alone."""
    layers = grouped(header.tensors).values()
    return sum(math.prod(_shape({leaf: tensor.shape for leaf, tensor in leaves.items()})) for leaves in layers)


def grouped(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Layer, by its name in the file -> its tensors. What is of no layer is under its own name, and matches none."""
    layers: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        found = LEAF.match(key)
        stem, leaf = (found["stem"], found["leaf"]) if found else (key, "other")
        first = leaf.split(".")[0]
        name = SPELLED.get(first, "dora_scale" if first == "lora_magnitude_vector" else first)
        layers.setdefault(stem, {})[name] = tensor
    return layers


def by_component(
    tensors: Mapping[str, Any], denoiser: str, encoders: tuple[str, ...], config: Mapping[str, Any]
) -> dict[str, dict[str, Leaves]]:
    """Component -> {layer's flattened name: its tensors}; "" for layers of no component that is known. Raises ModelError."""
    from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

    flat = {re.sub("^lycoris_", "lora_unet_", key): tensor for key, tensor in tensors.items()}
    if all(key.startswith("lora_") for key in flat):
        layout: Any = SimpleNamespace(**{"layers_per_block": 2} | dict(config))
        try:
            flat = _maybe_map_sgm_blocks_to_diffusers(dict(flat), layout)
        except (ValueError, LookupError) as error:
            raise ModelError("its layers' names are not understood") from error
    stems = ("lora_unet_", "lora_transformer_", "base_model.model.", f"{denoiser}.", "diffusion_model.")
    prefixes = dict.fromkeys(stems, denoiser)
    for number, name in enumerate(encoders, 1):
        prefixes |= {f"lora_te{number}_": name, f"{name}.": name} | ({"lora_te_": name} if number == 1 else {})
    out: dict[str, dict[str, Leaves]] = {}
    for stem, leaves in grouped(flat).items():
        prefix = max((each for each in prefixes if stem.startswith(each)), key=len, default="")
        name = stem.removeprefix(prefix).replace(".", "_")
        out.setdefault(prefixes.get(prefix, ""), {})[_in_diffusers(name)] = leaves
    return out


def _in_diffusers(name: str) -> str:
    if name in OUTER:
        return OUTER[name]
    for old, new in RESNET.items() if "resnets_" in name or "samplers_" in name else ():
        name = name.replace(old, new)
    return name


@contextmanager
def replaced(title: str, module: Any, layers: Mapping[str, Leaves], weight: float) -> Iterator[list[str]]:
    """With new weights for the length of a `with`; yields the layers of the file that the module does not have.

    Raises ModelError before any weight is replaced, if one does not fit.
    """
    import torch

    named = {name.replace(".base_layer", "").replace(".", "_"): layer for name, layer in module.named_modules()}
    every = {name: named.get(name) or named.get(name.removeprefix("text_model_")) for name in layers}
    found: dict[str, Any] = {
        name: getattr(layer, "base_layer", layer) for name, layer in every.items() if layer is not None
    }
    for name, layer in found.items():
        _check(title, name, layer, layers[name])
    kept: list[tuple[Any, str, Any]] = []
    try:
        with torch.no_grad():
            for name, layer in found.items() if weight else ():
                for own, new in _new_parameters(layer, layers[name], weight):
                    kept.append((layer, own, layer._parameters[own]))
                    layer._parameters[own] = torch.nn.Parameter(new, requires_grad=False)
        yield [name for name in layers if name not in found]
    finally:
        for layer, own, parameter in reversed(kept):
            layer._parameters[own] = parameter


def _check(title: str, name: str, layer: Any, leaves: Leaves) -> None:
    own = getattr(layer, "weight", None)
    try:
        shape = _shape({leaf: tuple(tensor.shape) for leaf, tensor in leaves.items()})
    except (KeyError, IndexError):
        raise ModelError(f"The LoRA {title} lacks a tensor of {shown(name)}.") from None
    if own is None or math.prod(shape) != (own.numel() if shape else 0) or shape[:1] != tuple(own.shape[:1]):
        fits = own is not None and not shape and "diff_b" in leaves
        if not fits:
            raise ModelError(f"The LoRA {title} does not fit this model: {shown(name)} is of another size here.")
    scale = leaves.get("dora_scale")
    if scale is not None and (own is None or scale.numel() not in own.shape[:2]):
        raise ModelError(f"The LoRA {title} does not fit this model: the scale of {shown(name)} is of another size.")


def _shape(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """(rows, columns, ...) of the weight that the tensors make, from their shapes; () for a bias alone. Raises KeyError."""
    if "diff" in shapes:
        return shapes["diff"]
    if "hada_w1_a" in shapes:
        a, b = shapes["hada_w1_a"], shapes["hada_w1_b"]
        return (a[1], b[1], *shapes["hada_t1"][2:]) if "hada_t1" in shapes else (a[0], *b[1:])
    if any(leaf.startswith("lokr_") for leaf in shapes):
        left = shapes.get("lokr_w1") or (shapes["lokr_w1_a"][0], shapes["lokr_w1_b"][1])
        if "lokr_w2" in shapes:
            right = shapes["lokr_w2"]
        elif "lokr_t2" in shapes:
            right = (shapes["lokr_w2_a"][1], shapes["lokr_w2_b"][1], *shapes["lokr_t2"][2:])
        else:
            right = (shapes["lokr_w2_a"][0], *shapes["lokr_w2_b"][1:])
        return (left[0] * right[0], left[1] * right[1], *right[2:])
    if "down" in shapes:
        up, down = shapes["up"], shapes["down"]
        return (up[0], down[1], *(shapes["mid"][2:] if "mid" in shapes else down[2:]))
    return () if "diff_b" in shapes else (0,)


def _new_parameters(layer: Any, leaves: Leaves, weight: float) -> Iterator[tuple[str, Any]]:
    import torch

    if set(leaves) - {"diff_b", "alpha"}:
        own = layer.weight
        base = own.float()
        aim = base + _difference(leaves, own)
        if "dora_scale" in leaves:
            aim = _at_magnitude(aim, leaves["dora_scale"].to(own.device).float())
        yield "weight", torch.empty_like(own).copy_(torch.lerp(base, aim, weight))
    if "diff_b" in leaves and getattr(layer, "bias", None) is not None:
        yield "bias", layer.bias + weight * leaves["diff_b"].to(layer.bias)


def _difference(leaves: Leaves, own: Any) -> Any:
    """What is added to the weight, in fp32 and in the weight's shape."""
    import torch

    part = {name: tensor.to(own.device).float() for name, tensor in leaves.items()}
    alpha = float(part["alpha"]) if "alpha" in part else None

    def product(a: Any, b: Any, core: Any = None) -> Any:
        return a @ b.flatten(1) if core is None else torch.einsum("ij...,ip,jr->pr...", core, a, b)

    if "diff" in part:
        made, rank = part["diff"], 0
    elif "hada_w1_a" in part:
        one = product(part["hada_w1_a"], part["hada_w1_b"], part.get("hada_t1"))
        made, rank = one * product(part["hada_w2_a"], part["hada_w2_b"], part.get("hada_t2")), len(part["hada_w1_b"])
    elif "down" in part:
        up, down, rank = part["up"].flatten(1), part["down"].flatten(1), len(part["down"])
        made = torch.einsum("ij...,pi,jr->pr...", part["mid"], up, down) if "mid" in part else up @ down
    else:
        factors = [part.get("lokr_w1"), part.get("lokr_w2")]
        rank = next((len(part[name]) for name in ("lokr_w1_b", "lokr_w2_b") if name in part), 0)
        left = factors[0] if factors[0] is not None else product(part["lokr_w1_a"], part["lokr_w1_b"])
        right = factors[1]
        if right is None:
            right = product(part["lokr_w2_a"], part["lokr_w2_b"], part.get("lokr_t2"))
            if "lokr_t2" not in part:
                right = right.reshape(len(right), *part["lokr_w2_b"].shape[1:])
        made = torch.kron(left.reshape(*left.shape, *[1] * (right.ndim - 2)), right.contiguous())
    scale = alpha / rank if alpha is not None and rank else 1.0
    return made.reshape(own.shape) * scale


def _at_magnitude(weight: Any, scale: Any) -> Any:
    """The weight with each row, or each column, at the length that was trained (DoRA's m)."""
    rows = scale.shape[0] == weight.shape[0]
    flat = (weight if rows else weight.transpose(0, 1)).flatten(1)
    length = flat.norm(dim=1).clamp_min(1e-12)
    shape = [1] * weight.ndim
    shape[0 if rows else 1] = -1
    return weight * (scale.flatten() / length).reshape(shape)
