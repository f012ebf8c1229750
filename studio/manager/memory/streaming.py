"""Runs a model whose weights do not fit together: stage by stage, or, for one module, layer by layer.

Both use accelerate's module hooks, which diffusers' pipelines know: the autoencoder's `decode` runs them, and a pipeline
whose modules are partly without data learns from them which device it runs on. Results are bit-identical: the same
numbers come to the same kernels, only later. Does not decide what is loaded when.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from safetensors import safe_open

# Layers whose forward reads the weights of their own layers, which it does not call.
READ_TOGETHER = frozenset({"HunyuanDiTAttentionPool", "MultiheadAttention"})
Held = dict[str, tuple[torch.nn.Module, str]]  # key in the file -> (layer, name of its parameter)


class StageHook(ModelHook):
    """Calls `enter` before each use of the module it is attached to."""

    def __init__(self, enter: Callable[[], None], device: Any):
        self._enter = enter
        self.execution_device = device  # read by diffusers' pipelines

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._enter()
        return args, kwargs


class Staging:
    """While entered, `enter(stage)` is called each time that the run comes to another stage: when one of the stage's
    modules is called."""

    def __init__(self, members: dict[str, list[Any]], enter: Callable[[str], None], device: Any):
        self._members, self._on_enter, self._device = members, enter, device
        self._current: str | None = None
        self.then: Callable[[], None] = lambda: None  # called after `enter`

    def __enter__(self) -> "Staging":
        for stage, modules in self._members.items():
            for module in modules:
                add_hook_to_module(module, StageHook(partial(self._enter_once, stage), self._device))
        return self

    def __exit__(self, *error: Any) -> None:
        for modules in self._members.values():
            for module in modules:
                remove_hook_from_module(module)
                module.__dict__.pop("forward", None)  # accelerate leaves a bound copy behind, a cycle that holds memory

    def restart(self) -> None:
        """Enter the first stage: a run begins, and may look at its modules before it calls them."""
        self._enter_once(next(iter(self._members)))

    def _enter_once(self, stage: str) -> None:
        if stage != self._current:
            self._on_enter(stage)
            self.then()
            self._current = stage


class LeafStreamer:
    """While attached, `module`'s parameters live in `files` and visit the device one layer at a time.

    Only for modules whose files carry the module's own names (diffusers' denoisers).
    """

    def __init__(
        self,
        module: torch.nn.Module,
        files: tuple[Path, ...],
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = False,
    ):
        self._module, self._dtype, self._device, self._channels_last = module, dtype, device, channels_last
        opened = [safe_open(file, framework="pt") for file in files]
        self._where = {key: file for file in opened for key in file.keys()}  # noqa: SIM118 (not a dict)
        self._hooks: list[Any] = []
        self._own_hook = False

    def attach(self) -> None:
        if not hasattr(self._module, "_hf_hook"):  # what a pipeline asks which device a module without data runs on
            self._module._hf_hook = StageHook(lambda: None, self._device)
            self._own_hook = True
        whole: tuple[str, ...] = ()
        for prefix, layer in self._module.named_modules():
            if prefix.startswith(whole):
                continue
            if type(layer).__name__ in READ_TOGETHER:
                whole = (*whole, f"{prefix}.")
            held = _held(prefix, layer)
            if held and not prefix:
                # The module's own few, used all through its forward; it may already be running when this is attached.
                self._load(held)
            elif held:
                self._hooks += [
                    layer.register_forward_pre_hook(lambda layer, args, held=held: self._load(held)),
                    layer.register_forward_hook(lambda layer, args, out, held=held: _drop(held), always_call=True),
                ]
                _drop(held)
        for name, tensor in list(self._module.named_buffers()):
            if name in self._where:
                owner, _, leaf = name.rpartition(".")
                self._module.get_submodule(owner)._buffers[leaf] = self._read(name, tensor.dtype)

    def detach(self) -> None:
        """Leaves the module without weights; the caller fills or drops it."""
        if self._own_hook and hasattr(self._module, "_hf_hook"):
            del self._module._hf_hook
        drop(self._module, list(self._module._parameters))
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._where.clear()

    def _read(self, key: str, dtype: torch.dtype) -> torch.Tensor:
        tensor = self._where[key].get_tensor(key).to(self._device, dtype)
        # `to`, as modules do it: `contiguous` leaves a 1x1 kernel's strides as they are, and another kernel would run.
        return tensor.to(memory_format=torch.channels_last) if self._channels_last and tensor.ndim == 4 else tensor

    def _load(self, held: Held) -> None:
        for key, (owner, name) in held.items():
            kept = owner._parameters[name]
            dtype = self._dtype if kept is None else kept.dtype  # some layers are kept in fp32
            owner._parameters[name] = torch.nn.Parameter(self._read(key, dtype), requires_grad=False)


def _held(prefix: str, layer: torch.nn.Module) -> Held:
    """The parameters to be there while `layer` runs: its own, and those of its layers where it reads these itself."""
    owners = layer.named_modules(prefix=prefix) if type(layer).__name__ in READ_TOGETHER else [(prefix, layer)]
    return {
        f"{path}.{name}".lstrip("."): (owner, name)
        for path, owner in owners
        for name, parameter in owner._parameters.items()
        if parameter is not None
    }


def _drop(held: Held) -> None:
    for owner, name in held.values():
        drop(owner, [name])


def drop_all(module: torch.nn.Module) -> None:
    """Leave the whole module as shapes without data."""
    for layer in module.modules():
        drop(layer, list(layer._parameters))


def drop(layer: torch.nn.Module, names: list[str]) -> None:
    """Replace a layer's own parameters by shapes without data."""
    for name in names:
        kept = layer._parameters[name]
        if kept is not None and not kept.is_meta:
            layer._parameters[name] = torch.nn.Parameter(torch.empty_like(kept, device="meta"), requires_grad=False)
