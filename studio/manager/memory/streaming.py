"""Runs a module whose weights do not fit: each layer's own are read from the mapped files as it runs, and dropped after.

Only for modules whose files carry the module's own names (diffusers' denoisers). Results are bit-identical: the
same numbers come to the same kernels, only later.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from studio.manager.memory.staging import StageHook

# Layers whose forward reads the weights of their own layers, which it does not call.
READ_TOGETHER = frozenset({"HunyuanDiTAttentionPool", "MultiheadAttention"})
Held = dict[str, tuple[torch.nn.Module, str]]  # key in the file -> (layer, name of its parameter)


class LeafStreamer:
    """While attached, `module`'s parameters live in `files` and visit the device one layer at a time."""

    def __init__(
        self,
        module: torch.nn.Module,
        files: list[Path],
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = False,
    ):
        self._module, self._dtype, self._device = module, dtype, device
        self._channels_last = channels_last
        self._opened = [safe_open(file, framework="pt") for file in files]
        self._where = {key: opened for opened in self._opened for key in opened.keys()}  # noqa: SIM118 (not a dict)
        self._hooks: list[Any] = []
        self._tells_device = False

    def attach(self) -> None:
        if not hasattr(self._module, "_hf_hook"):  # what a pipeline asks which device a module without data runs on
            self._module._hf_hook = StageHook(lambda: None, self._device)
            self._tells_device = True
        whole: tuple[str, ...] = ()
        for prefix, layer in self._module.named_modules():
            if prefix.startswith(whole):
                continue
            if type(layer).__name__ in READ_TOGETHER:
                whole = (*whole, f"{prefix}.")
            held = _held(prefix, layer)
            if held and not prefix:
                # The module's own few, used all through its forward; it may already be running when this is attached.
                self._loader(held)(layer, ())
            elif held:
                self._hooks.append(layer.register_forward_pre_hook(self._loader(held)))
                self._hooks.append(layer.register_forward_hook(self._dropper(held), always_call=True))
                self._dropper(held)(layer, (), None)
        for name, tensor in list(self._module.named_buffers()):
            if name in self._where:
                owner, _, leaf = name.rpartition(".")
                self._module.get_submodule(owner)._buffers[leaf] = self._read(name, tensor.dtype)

    def detach(self) -> None:
        """Leaves the module without weights; it is for the caller to fill or forget it."""
        if self._tells_device and hasattr(self._module, "_hf_hook"):
            del self._module._hf_hook
        drop(self._module, list(self._module._parameters))
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._where.clear()
        self._opened.clear()

    def _read(self, key: str, dtype: torch.dtype) -> torch.Tensor:
        tensor = self._where[key].get_tensor(key).to(self._device, dtype)
        # `to`, as modules do it: `contiguous` leaves a 1x1 kernel's strides as they are, and another kernel would run.
        return tensor.to(memory_format=torch.channels_last) if self._channels_last and tensor.ndim == 4 else tensor

    def _loader(self, held: Held) -> Any:
        def load(layer: torch.nn.Module, args: Any) -> None:
            for key, (owner, name) in held.items():
                kept = owner._parameters[name]
                dtype = self._dtype if kept is None else kept.dtype  # some layers are kept in fp32
                owner._parameters[name] = torch.nn.Parameter(self._read(key, dtype), requires_grad=False)

        return load

    def _dropper(self, held: Held) -> Any:
        def unload(layer: torch.nn.Module, args: Any, output: Any) -> None:
            for owner, name in held.values():
                drop(owner, [name])

        return unload


def _held(prefix: str, layer: torch.nn.Module) -> Held:
    """The parameters to be there while `layer` runs: its own, and those of its layers where it reads these itself."""
    owners = layer.named_modules(prefix=prefix) if type(layer).__name__ in READ_TOGETHER else [(prefix, layer)]
    return {
        f"{path}.{name}".lstrip("."): (owner, name)
        for path, owner in owners
        for name, parameter in owner._parameters.items()
        if parameter is not None
    }


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
