"""LoRAs attached by diffusers' own loaders (kohya's, diffusers' and peft's names), and taken off again to the last bit."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts import LoRA
from studio.manager.loading import explained, pipeline_class
from studio.manager.parts.base import Context, Support, register

WEIGHTS = "_adapter_weights"  # on a module: adapter -> its weight, for as long as any is attached


class LoRASupport(Support):
    """A part names a file as `model`. Layers are wrapped while it is attached, so weights cannot be streamed meanwhile."""

    streamable = False

    def attachments(self, part: LoRA, context: Context) -> dict[str, Path]:
        return {f"lora {part.model}": context.file(part.model, "lora")}

    @contextmanager
    def attach(self, part: LoRA, context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        """On the denoiser and the text encoders among `modules`. Raises ModelError where the file matches no layer."""
        title, denoiser = context.file(part.model, "lora").stem, context.family.denoiser
        text = part.weight if part.text_weight is None else part.text_weight
        weights = {denoiser: part.weight} | dict.fromkeys(context.family.encoders, text)
        attached: list[tuple[Any, str]] = []
        try:
            states, alphas, cls = _read(context.file(part.model, "lora"), context)
            matched = 0
            for name, weight in weights.items():
                module = modules.get(name)
                own = {key: value for key, value in states.items() if module is not None and key.startswith(f"{name}.")}
                matched += len(own)
                if own and weight:
                    adapter = _free_name(module)
                    attached.append((module, adapter))
                    with explained(f"The LoRA {title} does not fit the {name.replace('_', ' ')}"):
                        _load(cls, name, name == denoiser, module, own, alphas, adapter)
                    if adapter not in getattr(module, "peft_config", {}):
                        raise ModelError(f"The LoRA {title} matches no layer of the {name.replace('_', ' ')}.")
                    vars(module).setdefault(WEIGHTS, {})[adapter] = weight
                    _weigh(module)
            if not matched and modules.get(denoiser) is not None:
                raise ModelError(f"The LoRA {title} matches no layer of {context.info.title}.")
            yield
        finally:
            for module, adapter in reversed(attached):
                _detach(module, adapter)


def _read(file: Path, context: Context) -> tuple[dict[str, Any], Any, Any]:
    """(state in diffusers' names, alphas, the pipeline class that knows how to load it). Raises ModelError."""
    from safetensors.torch import load_file

    cls = pipeline_class(next(iter(context.family.calls(context.info.variant).values())).pipeline)
    if not hasattr(cls, "lora_state_dict"):
        raise ModelError(f"{context.info.title} is of a kind that takes no LoRAs.")
    with explained(f"The LoRA {file.stem} is not understood"):
        found = cls.lora_state_dict(load_file(file), **_accepted(cls.lora_state_dict, return_alphas=True))
    states, alphas = found[:2] if isinstance(found, tuple) else (found, None)
    return states, alphas, cls


def _load(cls: Any, name: str, denoises: bool, module: Any, states: Any, alphas: Any, adapter: str) -> None:
    if denoises:
        load = getattr(cls, f"load_lora_into_{name}")
        load(states, **{name: module}, adapter_name=adapter, **_accepted(load, network_alphas=alphas))
    else:
        cls.load_lora_into_text_encoder(states, alphas, module, prefix=name, adapter_name=adapter)


def _detach(module: Any, adapter: str) -> None:
    from diffusers.utils.peft_utils import delete_adapter_layers, recurse_remove_peft_layers

    vars(module).get(WEIGHTS, {}).pop(adapter, None)
    configs = getattr(module, "peft_config", {})
    if adapter not in configs:
        return
    if len(configs) > 1:
        delete_adapter_layers(module, adapter)
        configs.pop(adapter, None)  # which transformers has done itself
        _weigh(module)
        return
    recurse_remove_peft_layers(module)
    del module.peft_config
    vars(module).pop(WEIGHTS, None)
    module._hf_peft_config_loaded = False


def _weigh(module: Any) -> None:
    """All attached adapters act, each with its weight."""
    from diffusers.utils.peft_utils import set_weights_and_activate_adapters

    weights = vars(module)[WEIGHTS]
    set_weights_and_activate_adapters(module, list(weights), list(weights.values()))


def _free_name(module: Any) -> str:
    taken = getattr(module, "peft_config", {})
    return next(name for name in (f"lora_{number}" for number in range(len(taken) + 1)) if name not in taken)


def _accepted(function: Any, **options: Any) -> dict[str, Any]:
    """Those of the options that the function knows; some read them by `kwargs.pop`."""
    known = inspect.signature(function).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    return {name: value for name, value in options.items() if name in known or open_ended}


register("lora", LoRASupport())
