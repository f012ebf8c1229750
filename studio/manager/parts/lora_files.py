"""LoRA files as diffusers' loaders take them: bounded, in diffusers' names, with the scale that was trained.

Knows the layouts of kohya-ss, diffusers and peft; does not attach anything.
"""

import inspect
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import Header, read_header
from studio.manager.disk.safe_files import json_or_nothing, shown
from studio.manager.loading import explained, pipeline_class
from studio.manager.parts.base import Context

RAW_PEFT = "base_model.model."  # how peft itself begins its names, which say nothing of the component
CONFIG = "adapter_config.json"  # peft's, beside the weights
IN_HEADER = "lora_adapter_metadata"  # diffusers' copy of it, in the header
LAYER = re.compile(r"(.+?)[._]lora(_A|_B|_linear_layer)?\..*")
OUT_OF = re.compile(r"lora_B\.|\.up\.")
ATTENTION = {
    "to_q": "q_proj",
    "to_k": "k_proj",
    "to_v": "v_proj",
    "to_out": "out_proj",
}  # of text encoders, in old files


def checked_header(file: Path) -> Header:
    """Raises ModelError with the LoRA's name before anything large is read."""
    try:
        return read_header(file)
    except ModelError as error:
        raise ModelError(f"The LoRA {file.stem} cannot be used: {error}") from None


def read_tensors(file: Path, kind: str = "LoRA") -> dict[str, Any]:
    """Every tensor, in memory of its own: a file that is changed during the run does not matter. Raises ModelError."""
    from safetensors.torch import load

    with explained(f"The {kind} {file.stem} cannot be read"):
        return load(file.read_bytes())


def read_states(file: Path, header: Header, context: Context) -> tuple[dict[str, Any], dict[str, float] | None, Any]:
    """(tensors in diffusers' names, alphas, the pipeline class that knows how to load them). Raises ModelError."""
    cls = lora_pipeline(context)
    denoiser = context.family.denoiser
    tensors = {
        f"{denoiser}.{key.removeprefix(RAW_PEFT)}" if key.startswith(RAW_PEFT) else key: tensor
        for key, tensor in read_tensors(file).items()
    }
    tensors = {key.replace(".default.weight", ".weight"): tensor for key, tensor in tensors.items()}
    own = context.own.get(denoiser)
    layout = SimpleNamespace(**{"layers_per_block": 2} | dict(own.config if own else {}))
    options = accepted_by(cls.lora_state_dict, return_alphas=True, unet_config=layout)
    with explained(f"The LoRA {file.stem} is not understood"):
        found = cls.lora_state_dict(tensors, **options)
    states, alphas = found[:2] if isinstance(found, tuple) else (found, None)
    return states, alphas or _configured_alphas(states, _configs(file, header, denoiser)), cls


def lora_pipeline(context: Context) -> Any:
    """The model's pipeline class. Raises ModelError where it takes no LoRAs."""
    cls = pipeline_class(next(iter(context.family.calls(context.info.variant).values())).pipeline)
    if not hasattr(cls, "lora_state_dict"):
        raise ModelError(f"{context.info.title} is of a kind that takes no LoRAs.")
    return cls


def _configs(file: Path, header: Header, denoiser: str) -> dict[str, dict[str, Any]]:
    """Component -> peft's configuration, from the header or from beside the file; only numbers are ever taken from it."""
    try:
        table = json.loads(header.metadata.get(IN_HEADER, "{}"))
    except (ValueError, RecursionError):
        table = {}
    configs: dict[str, dict[str, Any]] = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        component, _, name = key.partition(".")
        configs.setdefault(component, {})[name] = value
    return configs or {denoiser: json_or_nothing(file.with_name(CONFIG))}


def _configured_alphas(states: Mapping[str, Any], configs: Mapping[str, dict[str, Any]]) -> dict[str, float] | None:
    """The alpha of each layer, as kohya's files have it, where a configuration scales by another than the rank."""
    alphas: dict[str, float] = {}
    for key, tensor in states.items():
        component, _, rest = key.partition(".")
        config = configs.get(component, {})
        alpha: Any = config.get("lora_alpha")
        if not rest.endswith("lora_A.weight") or not _positive(alpha) or not _positive(config.get("r")):
            continue
        stem, rank = rest.removesuffix(".lora_A.weight"), tensor.shape[0]
        patterns = config.get("alpha_pattern")
        for name, value in patterns.items() if isinstance(patterns, dict) else ():
            if _positive(value) and (stem == name or stem.endswith(f".{name}")):
                alpha = value
        scaled = alpha * math.sqrt(rank) if config.get("use_rslora") is True else alpha
        alphas[f"{key.removesuffix('.lora_A.weight')}.alpha"] = scaled
    ranks = {key: tensor.shape[0] for key, tensor in states.items()}
    plain = all(ranks[f"{key.removesuffix('.alpha')}.lora_A.weight"] == alpha for key, alpha in alphas.items())
    return None if plain else alphas


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 10**6


def placed(title: str, states: Mapping[str, Any], component: str, module: Any) -> tuple[dict[str, Any], list[str]]:
    """(those of the component's tensors that have a layer in the module, names of layers that it does not have). Raises
    ModelError, before anything is attached, for a matrix that does not fit its layer."""
    # also where another LoRA has wrapped the layer
    layers = {name.replace(".base_layer", ""): layer for name, layer in module.named_modules()}
    found, lost = {}, dict[str, None]()
    for key, tensor in states.items():
        named = LAYER.fullmatch(key.removeprefix(f"{component}."))
        layer = _layer(named[1], layers) if named else None
        if named and layer is None:
            lost[named[1]] = None
            continue
        found[key] = tensor
        weight, into = getattr(layer, "weight", None), "lora_A." in key or ".down." in key
        if named is None or weight is None or min(weight.ndim, tensor.ndim) < 2 or not (into or OUT_OF.search(key)):
            continue
        has, takes = (tensor.shape[1], weight.shape[1]) if into else (tensor.shape[0], weight.shape[0])
        if has != takes and named[1] != "x_embedder":  # which diffusers widens for control LoRAs
            misfit = f"{shown(named[1])} takes {takes} numbers here and {has} in the file"
            raise ModelError(f"The LoRA {title} does not fit this model: {misfit}.")
    return found, list(lost)


def _layer(name: str, layers: Mapping[str, Any]) -> Any:
    """The layer of a name in diffusers' present or older spelling."""
    plain = name.replace(".processor.", ".").removeprefix("text_model.")
    stem, _, last = plain.rpartition(".")
    names = (f"{plain}.0", plain, f"text_model.{plain}", f"{stem}.{ATTENTION.get(last, last)}")
    return next((layers[each] for each in names if each in layers), None)


def accepted_by(function: Any, **options: Any) -> dict[str, Any]:
    """Those of the options that the function takes; some read them by `kwargs.pop`."""
    known = inspect.signature(function).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    return {name: value for name, value in options.items() if name in known or open_ended}
