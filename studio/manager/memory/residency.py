"""The modules in memory: loads, empties, streams and refills components, and records what is known of each.

A component's module outlives its weights: pipelines hold the module, and `evict` leaves it as shapes without data until
`load` fills it again. Weights come back from mapped files, so nothing is copied out to be kept. Does not decide which
moves to make; the planner does.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from studio.core.errors import ModelError, StudioError
from studio.manager.disk.headers import read_header
from studio.manager.loading import Source, lay_channels_last, module_bytes, reason
from studio.manager.memory.ledger import Ledger
from studio.manager.memory.limits import give_back
from studio.manager.memory.planner import Kind, Move, Resident, cost_per_byte
from studio.manager.memory.streaming import LeafStreamer, drop_all
from studio.manager.memory.weights import FileState, check_complete, check_fit, read_weights
from studio.manager.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)

NAMED = 8  # models in one row of the ledger
KEPT_SHELLS = 8  # empty modules kept for a model's return: building one takes longer than filling it
KEPT_IN_FP32 = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")  # classes with layers that stay in fp32


@dataclass(eq=False)
class Component:
    """One module and what is known of it. `users` counts the leases that hold it; `pinned` says that a person does."""

    key: str
    source: Source
    dtype: torch.dtype
    channels_last: bool
    bytes: int  # predicted, then measured
    module: Any = None
    state: Literal["away", "resident", "streamed"] = "away"
    models: tuple[str, ...] = ()  # ids of the models that it was ever part of
    users: int = 0
    pinned: bool = False
    warm: bool = False  # has run since it was loaded, so that every page of it has been touched
    last_use: float = 0.0
    reload_seconds: float = 0.0
    priority: float = 0.0
    mapped: tuple[FileState, ...] = ()  # the files that its weights are mapped from
    streamer: LeafStreamer | None = field(default=None, repr=False)

    @property
    def taken(self) -> int:
        return self.bytes if self.state == "resident" else 0

    def as_resident(self, exempt: frozenset[str] = frozenset()) -> Resident:
        """As the planner sees it. What a lease holds is pinned, save the keys in `exempt`."""
        pinned = self.pinned or (self.users > 0 and self.key not in exempt)
        return Resident(self.key, self.bytes, pinned, self.last_use, self.reload_seconds, self.priority)


class Residency:
    """Every component of this process, by key."""

    def __init__(self, device: torch.device, ledger: Ledger):
        self.device, self.ledger = device, ledger
        self.components: dict[str, Component] = {}
        self._age = 0.0  # GreedyDual-Size's clock: the priority of what was last evicted

    def get(self, key: str, source: Source, dtype: torch.dtype, channels_last: bool, predicted: int) -> Component:
        """The component of that key, with or without its weights."""
        if key not in self.components:
            self.components[key] = Component(key, source, dtype, channels_last, predicted)
        component = self.components[key]
        component.source = source  # the same content; where it was read from before may be gone
        component.last_use = time.monotonic()
        component.priority = self._age + cost_per_byte(component.as_resident())
        return component

    def residents(self, exempt: frozenset[str] = frozenset()) -> list[Resident]:
        """For the planner: what is in memory."""
        return [c.as_resident(exempt) for c in self.components.values() if c.state == "resident"]

    def held(self) -> int:
        return sum(component.taken for component in self.components.values())

    def perform(self, move: Move) -> None:
        """Carry a move out, and write it in the ledger. Raises ModelError, and what PyTorch raises out of memory."""
        component = self.components[move.key]
        began = time.perf_counter()
        {"load": self._load, "stream": self._stream, "evict": self._evict}[move.kind](component)
        seconds = time.perf_counter() - began
        if move.kind == "load":
            component.reload_seconds = seconds
        self.ledger.write(
            move.kind,
            component=component.source.name,
            models=component.models[:NAMED],
            key=component.key[-12:],
            predicted=move.bytes,
            measured=component.bytes if move.kind != "stream" else move.bytes,
            seconds=round(seconds, 4),
            stage=move.stage,
            reason=move.reason,
        )

    def move(self, kind: Kind, component: Component, reason: str, stage: str = "") -> None:
        """One move that no plan names."""
        self.perform(Move(kind, component.key, component.bytes, stage, reason))

    def restore(self, before: set[str], *, evict: bool = True) -> None:
        """Have in memory again what `before` names, and nothing else unless `evict` is False; what cannot be loaded again
        stays away."""
        for component in self.components.values():
            if evict and component.state == "resident" and component.key not in before:
                self.move("evict", component, "taken back")
        for component in self.components.values():
            if component.state == "away" and component.key in before:
                try:
                    self.move("load", component, "put back")
                except (StudioError, RuntimeError) as error:
                    log.warning("%s could not be put back: %s", component.source.name, error)

    def evict_changed(self) -> None:
        """Evict what is mapped from a file that was changed in place since: its weights are no longer what was loaded."""
        for component in self.components.values():
            idle = component.state == "resident" and not component.users
            if idle and any(file.changed_in_place() for file in component.mapped):
                self.move("evict", component, "its file was changed in place")

    def forget_unused(self, keep: int = KEPT_SHELLS) -> None:
        """Drop modules that have no weights and no lease, save the `keep` last used."""
        unused = [c for c in self.components.values() if c.state == "away" and not c.users]
        unused.sort(key=lambda c: (c.module is not None, c.last_use))
        for component in unused[: max(len(unused) - keep, 0)]:
            del self.components[component.key]

    def skeleton(self, component: Component) -> Any:
        """The component's module, made without weights if there is none yet. Raises ModelError where its files do not fit."""
        if component.module is None:
            source = component.source
            module = source.empty(component.dtype).eval().requires_grad_(False)
            check_fit(source.title, module, source.files)
            _put_buffers(module, source.files, component.dtype, self.device)
            if component.channels_last:
                lay_channels_last(module)
            component.module = module
        return component.module

    def stop_streaming(self) -> None:
        """After a run: what was streamed is away again."""
        for component in self.components.values():
            if component.streamer is not None:
                component.streamer.detach()
                component.streamer, component.state = None, "away"

    def _load(self, component: Component) -> None:
        """If it fails, nothing of the component is left in memory."""
        try:
            self.skeleton(component)
            component.mapped = tuple(FileState.of(file) for file in component.source.files)
            if not self._fill(component):
                self._load_whole(component)
            component.bytes, component.state = module_bytes(component.module), "resident"
        except Exception as error:
            if component.module is not None:
                drop_all(component.module)
            if isinstance(error, StudioError) or is_out_of_memory(error):
                raise
            raise ModelError(f"Its {component.source.title} cannot be read any more: {reason(error)}") from None

    def _fill(self, component: Component) -> bool:
        """Give the empty module its weights straight from the mapped files; False where they have other names there."""
        module, files = component.module, component.source.files
        if any(getattr(type(module), name, None) for name in KEPT_IN_FP32):
            return False
        if {name for file in files for name in read_header(file).tensors} != module.state_dict().keys():
            return False
        tensors = read_weights(files, component.dtype, self.device, component.channels_last)
        # A pipeline may have cast its module when it was made, and goes by that.
        wanted = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        module.load_state_dict({name: tensor.to(wanted[name]) for name, tensor in tensors.items()}, assign=True)
        if self.device.type != "cpu":
            module.to(self.device)  # buffers that no file holds
        return True

    def _load_whole(self, component: Component) -> None:
        """As the libraries load it."""
        fresh = component.source.load(component.dtype).eval().requires_grad_(False)
        if component.channels_last:
            lay_channels_last(fresh)
        fresh.to(self.device)
        # Pipelines may hold the empty module already: it gets the fresh one's tensors, which copies nothing.
        component.module.load_state_dict(fresh.state_dict(), assign=True)
        component.module.to(self.device).requires_grad_(False)

    def _stream(self, component: Component) -> None:
        module, files = self.skeleton(component), component.source.files
        check_complete(component.source.title, module, files)
        component.streamer = LeafStreamer(module, files, component.dtype, self.device, component.channels_last)
        component.streamer.attach()
        component.state = "streamed"

    def _evict(self, component: Component) -> None:
        self._age = max(self._age, component.priority)
        drop_all(component.module)
        component.warm, component.state = False, "away"
        give_back()


def _put_buffers(module: Any, files: tuple[Path, ...], dtype: torch.dtype, device: torch.device) -> None:
    """Give an empty module the statistics that its files hold: they are read without the module being called, and stay."""
    names = {name for name, _ in module.named_buffers()}
    for file in files if names else ():
        with safe_open(file, framework="pt") as opened:
            for name in names & set(opened.keys()):
                owner, _, leaf = name.rpartition(".")
                tensor = opened.get_tensor(name).to(device)
                module.get_submodule(owner)._buffers[leaf] = tensor.to(dtype) if tensor.is_floating_point() else tensor
