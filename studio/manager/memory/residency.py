"""The modules in memory: loads, empties, streams and refills components, and keeps the books on each.

A component's module outlives its weights: pipelines hold the module, and `evict` leaves it as shapes without data until
`load` fills it again. Weights come back from mapped files, so nothing is ever copied out to be kept. Which moves to
make is the planner's business.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from studio.core.errors import ModelError, StudioError
from studio.manager.disk.headers import read_header
from studio.manager.loading import lay_channels_last, module_bytes, reason
from studio.manager.memory.file_state import FileState
from studio.manager.memory.filling import read_weights
from studio.manager.memory.fitting import check_complete, check_fit
from studio.manager.memory.ledger import Ledger
from studio.manager.memory.limits import give_back
from studio.manager.memory.planner import Move, Resident, cost_per_byte
from studio.manager.memory.streaming import LeafStreamer, drop_all
from studio.manager.out_of_memory import is_out_of_memory

log = logging.getLogger(__name__)

NAMED = 8  # models in one row of the ledger
KEPT_SHELLS = 8  # empty modules kept for a model's return: building one takes longer than filling it
KEPT_IN_FP32 = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")  # classes with parts that no dtype changes
State = Literal["away", "resident", "streamed"]


@dataclass(frozen=True)
class Source:
    """How a component comes into being: `load` gives it with its weights, `empty` without."""

    name: str
    files: tuple[Path, ...]
    load: Callable[[], Any]
    empty: Callable[[], Any]


@dataclass
class Component:
    """One module and what is known of it. `users` counts the leases that hold it, `pinned` is a person's wish."""

    key: str
    source: Source
    dtype: torch.dtype
    channels_last: bool
    bytes: int  # predicted, then measured
    module: Any = None
    state: State = "away"
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


class Residency:
    """Every component of this process, by key."""

    def __init__(self, device: torch.device, ledger: Ledger):
        self.device, self.ledger = device, ledger
        self.components: dict[str, Component] = {}
        self._age = 0.0  # GreedyDual-Size's clock: the priority of what was last evicted

    def want(self, key: str, source: Source, dtype: torch.dtype, channels_last: bool, predicted: int) -> Component:
        """The component of that key, with or without its weights."""
        if key not in self.components:
            self.components[key] = Component(key, source, dtype, channels_last, predicted)
        component = self.components[key]
        component.source = source  # the same content; where it was read from before may be gone
        component.last_use = time.monotonic()
        component.priority = self._age + cost_per_byte(self._resident(component, frozenset()))
        return component

    def residents(self, exempt: frozenset[str] = frozenset()) -> list[Resident]:
        """For the planner: what is in memory. What a lease holds is pinned, save the keys in `exempt`."""
        return [self._resident(c, exempt) for c in self.components.values() if c.state == "resident"]

    def held(self) -> int:
        return sum(component.taken for component in self.components.values())

    def perform(self, move: Move) -> None:
        component = self.components[move.key]
        began = time.perf_counter()
        if move.kind == "load":
            self._load(component)
        elif move.kind == "stream":
            self._stream(component)
        else:
            self._evict(component)
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

    def restore(self, before: set[str], *, evict: bool = True) -> None:
        """Have in memory again what `before` names, and nothing else unless `evict` is False; what cannot come back stays away."""
        for component in self.components.values():
            if evict and component.state == "resident" and component.key not in before:
                self.perform(Move("evict", component.key, component.bytes, "", "taken back"))
        for component in self.components.values():
            if component.state == "away" and component.key in before:
                try:
                    self.perform(Move("load", component.key, component.bytes, "", "put back"))
                except (StudioError, RuntimeError) as error:
                    log.warning("%s could not be put back: %s", component.source.name, error)

    def let_go_of_changed(self) -> None:
        """Evict what is mapped from a file that was changed in place since: its weights are no longer what was loaded."""
        for component in self.components.values():
            idle = component.state == "resident" and not component.users
            if idle and any(file.changed_in_place() for file in component.mapped):
                self.perform(Move("evict", component.key, component.bytes, "", "its file was changed in place"))

    def forget_unused(self, keep: int = KEPT_SHELLS) -> None:
        """Let go of modules that have no weights and no lease, save the `keep` last used."""
        unused = [c for c in self.components.values() if c.state == "away" and not c.users]
        unused.sort(key=lambda c: (c.module is not None, c.last_use))
        for component in unused[: max(len(unused) - keep, 0)]:
            del self.components[component.key]

    def skeleton(self, component: Component) -> Any:
        """The component's module, made without weights if there is none yet; raises ModelError where these cannot be its."""
        if component.module is None:
            module = component.source.empty().eval().requires_grad_(False)
            check_fit(component.source.name, module, component.source.files)
            _put_buffers(module, component.source.files, component.dtype, self.device)
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
        """Raises ModelError, and what PyTorch raises where memory does not suffice; then nothing of it is left in memory."""
        try:
            self._bring(component)
        except Exception as error:
            if component.module is not None:
                drop_all(component.module)
            if isinstance(error, StudioError) or is_out_of_memory(error):
                raise
            name = component.source.name.replace("_", " ")
            raise ModelError(f"Its {name} cannot be read any more: {reason(error)}") from None

    def _bring(self, component: Component) -> None:
        self.skeleton(component)
        component.mapped = tuple(FileState.of(file) for file in component.source.files)
        if self._fill(component):
            return
        fresh = component.source.load().eval().requires_grad_(False)
        if component.channels_last:
            lay_channels_last(fresh)
        fresh.to(self.device)
        # Pipelines may hold the empty module already: hand it the fresh one's tensors, which copies nothing.
        component.module.load_state_dict(fresh.state_dict(), assign=True)
        component.module.to(self.device).requires_grad_(False)
        component.bytes = module_bytes(component.module)
        component.state = "resident"

    def _fill(self, component: Component) -> bool:
        """Hand an empty module its weights straight from the mapped files; False where they go by other names."""
        module = component.module
        if any(getattr(type(module), name, None) for name in KEPT_IN_FP32):
            return False
        names = {name for file in component.source.files for name in read_header(file).tensors}
        if names != module.state_dict().keys():
            return False
        tensors = read_weights(component.source.files, component.dtype, self.device, component.channels_last)
        # A pipeline may have cast its module when it was made, and goes by that.
        wanted = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        tensors = {name: tensor.to(wanted[name]) for name, tensor in tensors.items()}
        module.load_state_dict(tensors, assign=True)
        if self.device.type != "cpu":
            module.to(self.device)  # buffers that no file holds
        component.bytes, component.state = module_bytes(module), "resident"
        return True

    def _stream(self, component: Component) -> None:
        module = self.skeleton(component)
        check_complete(component.source.name, module, component.source.files)
        files = list(component.source.files)
        component.streamer = LeafStreamer(module, files, component.dtype, self.device, component.channels_last)
        component.streamer.attach()
        component.state = "streamed"

    def _evict(self, component: Component) -> None:
        self._age = max(self._age, component.priority)
        component.warm = False
        drop_all(component.module)
        component.state = "away"
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "cpu":
            give_back()

    def _resident(self, component: Component, exempt: frozenset[str]) -> Resident:
        pinned = component.pinned or (component.users > 0 and component.key not in exempt)
        return Resident(
            component.key,
            component.bytes,
            pinned,
            component.last_use,
            component.reload_seconds,
            component.priority,
        )


def _put_buffers(module: Any, files: tuple[Path, ...], dtype: torch.dtype, device: torch.device) -> None:
    """Give an empty module the statistics that its files hold: they are read without the module being called, and stay."""
    names = {name for name, _ in module.named_buffers()}
    for file in files if names else ():
        with safe_open(file, framework="pt") as opened:
            for name in names & set(opened.keys()):
                owner, _, leaf = name.rpartition(".")
                tensor = opened.get_tensor(name).to(device)
                module.get_submodule(owner)._buffers[leaf] = tensor.to(dtype) if tensor.is_floating_point() else tensor
