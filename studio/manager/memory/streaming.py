"""Runs a module whose weights do not fit in memory: they are read layer by layer while it runs.

Results are bit-identical: the same numbers come to the same kernels, only later. Does not decide what is streamed when.
"""

from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import ModelHook
from safetensors import safe_open

# Layers whose forward reads the weights of their own layers, which it does not call.
READ_TOGETHER = frozenset({"HunyuanDiTAttentionPool", "MultiheadAttention"})
Held = dict[str, tuple[torch.nn.Module, str]]  # key in the file -> (layer, name of its parameter)


class LeafStreamer:
    """From now until `detach`, `module`'s parameters live in `files` and visit the device one layer at a time.

    Only for modules whose files carry the module's own names (diffusers' denoisers).
    """

    def __init__(
        self,
        module: torch.nn.Module,
        files: tuple[Path, ...],
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool,
    ):
        self._module, self._dtype, self._device, self._channels_last = module, dtype, device, channels_last
        opened = [safe_open(file, framework="pt") for file in files]
        self._where = {key: file for file in opened for key in file.keys()}  # noqa: SIM118 (not a dict)
        self._hooks: list[Any] = []
        self._own_hook = None
        if not hasattr(module, "_hf_hook"):  # what a pipeline asks which device a module without data runs on
            self._own_hook = module._hf_hook = ModelHook()
            self._own_hook.execution_device = device
        whole: tuple[str, ...] = ()
        for prefix, layer in module.named_modules():
            if prefix.startswith(whole):
                continue
            if type(layer).__name__ in READ_TOGETHER:
                whole = (*whole, f"{prefix}.")
            held = _held(prefix, layer)
            if held and not prefix:
                # The module's own few, used all through its forward; it may already be running now.
                self._load(held)
            elif held:
                self._hooks += [
                    layer.register_forward_pre_hook(lambda layer, args, held=held: self._load(held)),
                    layer.register_forward_hook(lambda layer, args, out, held=held: _drop(held), always_call=True),
                ]
                _drop(held)
        for name, tensor in list(module.named_buffers()):
            if name in self._where:
                owner, _, leaf = name.rpartition(".")
                module.get_submodule(owner)._buffers[leaf] = self._read(name, tensor.dtype)

    def detach(self) -> None:
        """Leaves the module without weights; the caller fills or drops it."""
        if self._own_hook is not None and hasattr(self._module, "_hf_hook"):
            del self._module._hf_hook
        _drop({name: (self._module, name) for name in self._module._parameters})
        for hook in self._hooks:
            hook.remove()
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
    """Replace parameters by shapes without data."""
    for owner, name in held.values():
        kept = owner._parameters[name]
        if kept is not None and not kept.is_meta:
            owner._parameters[name] = torch.nn.Parameter(torch.empty_like(kept, device="meta"), requires_grad=False)


def drop_all(module: torch.nn.Module) -> None:
    """Leave the whole module as shapes without data."""
    for layer in module.modules():
        _drop({name: (layer, name) for name in layer._parameters})
