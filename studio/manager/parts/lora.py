"""LoRAs attached for the length of a run, and taken off again to the last bit.

Plain ones go through diffusers' own loaders (`lora_files`); flavours that change weights as a whole through `lora_deltas`.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts import LoRA
from studio.manager.loading import explained
from studio.manager.parts import lora_deltas
from studio.manager.parts.base import Context, Support, register
from studio.manager.parts.lora_files import (
    accepted_by,
    checked_header,
    lora_pipeline,
    placed,
    read_states,
    read_tensors,
)

WEIGHTS = "_adapter_weights"  # on a module: adapter -> its weight, for as long as any is attached


class LoRASupport(Support):
    """A part names a file as `model`. Layers are changed while it is attached, so weights cannot be streamed meanwhile."""

    streamable = False

    def attachments(self, part: LoRA, context: Context) -> dict[str, Path]:
        return {f"lora {part.model}": context.file(part.model, "lora")}

    def extra_elements(self, part: LoRA, context: Context) -> int:
        header = checked_header(context.file(part.model, "lora"))
        return lora_deltas.replaced_elements(header) if lora_deltas.changes_whole_weights(header) else 0

    @contextmanager
    def attach(self, part: LoRA, context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        """On the denoiser and the text encoders among `modules`. Raises ModelError where the file matches no layer."""
        text = part.weight if part.text_weight is None else part.text_weight
        weights = {context.family.denoiser: part.weight} | dict.fromkeys(context.family.encoders, text)
        file = context.file(part.model, "lora")
        whole = lora_deltas.changes_whole_weights(checked_header(file))
        with (_replaced if whole else _wrapped)(file, context, modules, weights):
            yield


@contextmanager
def _wrapped(file: Path, context: Context, modules: Mapping[str, Any], weights: Mapping[str, float]) -> Iterator[None]:
    """Plain LoRAs: diffusers' loaders wrap the layers."""
    attached: list[tuple[Any, str]] = []
    try:
        states, alphas, cls = read_states(file, checked_header(file), context)
        parts = {name: {key: t for key, t in states.items() if key.startswith(f"{name}.")} for name in weights}
        known, lost = 0, [key for key in states if key.partition(".")[0] not in weights]
        for name, weight in weights.items():
            if not parts[name] or (module := modules.get(name)) is None:
                continue
            own, others = placed(file.stem, parts[name], name, module)
            lost += others
            known += len(own)
            if own and weight:
                adapter = _free_name(module)
                attached.append((module, adapter))
                with explained(f"The LoRA {file.stem} does not fit the {name.replace('_', ' ')}"):
                    _load(cls, name, name == context.family.denoiser, module, own, alphas, adapter)
                if adapter not in getattr(module, "peft_config", {}):
                    raise ModelError(f"The LoRA {file.stem} matches no layer of the {name.replace('_', ' ')}.")
                vars(module).setdefault(WEIGHTS, {})[adapter] = weight
                _weigh(module)
        _judge(file, context, modules, parts, known, lost)
        yield
    finally:
        for module, adapter in reversed(attached):
            _detach(module, adapter)


@contextmanager
def _replaced(file: Path, context: Context, modules: Mapping[str, Any], weights: Mapping[str, float]) -> Iterator[None]:
    """LoHa, LoKr, DoRA and full differences: the layers get other weights."""
    lora_pipeline(context)
    own = context.own.get(context.family.denoiser)
    try:
        found = lora_deltas.by_component(
            read_tensors(file), context.family.denoiser, context.family.encoders, own.config if own else {}
        )
    except ModelError as error:
        raise ModelError(f"The LoRA {file.stem} cannot be used: {error}.") from None
    known, lost = 0, list(found.pop("", {}))
    with ExitStack() as stack:
        for name, layers in ((name, layers) for name, layers in found.items() if modules.get(name) is not None):
            others = stack.enter_context(lora_deltas.replaced(file.stem, modules[name], layers, weights[name]))
            known += len(layers) - len(others)
            lost += others
        _judge(file, context, modules, found, known, lost)
        yield


def _judge(
    file: Path, context: Context, modules: Mapping[str, Any], parts: Mapping[str, Any], known: int, lost: list[str]
) -> None:
    """Nothing found is an error, a part of it a note. `parts` are the file's, by component; where a run goes stage by stage,
    a file for the text encoders alone has nothing for the denoiser's stage."""
    denoiser = context.family.denoiser
    elsewhere = any(part and modules.get(name) is None for name, part in parts.items())
    if not known and modules.get(denoiser) is not None and (parts.get(denoiser) or not elsewhere):
        raise ModelError(f"The LoRA {file.stem} matches no layer of {context.info.title}.")
    if lost:
        layers = "layer that the model does not have" if len(lost) == 1 else "layers that the model does not have"
        context.note(f"The LoRA {file.stem} also has {len(lost)} {layers}, such as {lost[0][:80]}; they were left out.")


def _load(cls: Any, name: str, denoises: bool, module: Any, states: Any, alphas: Any, adapter: str) -> None:
    with _not_drawn():
        if denoises:
            load = getattr(cls, f"load_lora_into_{name}")
            options = accepted_by(load, network_alphas=alphas, low_cpu_mem_usage=True)
            load(states, **{name: module}, adapter_name=adapter, **options)
        else:
            options = {"prefix": name, "adapter_name": adapter, "low_cpu_mem_usage": True}
            cls.load_lora_into_text_encoder(states, alphas, module, **options)


@contextmanager
def _not_drawn() -> Iterator[None]:
    """peft draws each new layer's weights at random, several times, before those of the file replace them."""
    from torch.nn import init

    draw = init.kaiming_uniform_
    init.kaiming_uniform_ = lambda tensor, *options, **named: tensor
    try:
        yield
    finally:
        init.kaiming_uniform_ = draw


def _detach(module: Any, adapter: str) -> None:
    from diffusers.utils.peft_utils import delete_adapter_layers, recurse_remove_peft_layers

    vars(module).get(WEIGHTS, {}).pop(adapter, None)
    configs = getattr(module, "peft_config", {})
    if set(configs) - {adapter}:
        if adapter in configs:
            delete_adapter_layers(module, adapter)
            configs.pop(adapter, None)  # which transformers has done itself
        _weigh(module)
        return
    recurse_remove_peft_layers(module)
    if hasattr(module, "peft_config"):
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


register("lora", LoRASupport())
