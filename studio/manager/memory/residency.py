"""The components in memory: loaded, evicted, streamed and refilled under a budget, and which models hold which of them.

A component's module outlives its weights: pipelines hold the module, and `evict` leaves it as shapes without data until
`load` fills it again. Weights come back from mapped files, so nothing is copied out to be kept. Does not decide which
moves to make; the planner does.
"""

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

from studio.core.errors import ModelError, StudioError
from studio.manager.disk.headers import read_header
from studio.manager.loading import Source, is_out_of_memory, lay_channels_last, module_bytes, reason
from studio.manager.memory.ledger import Ledger
from studio.manager.memory.limits import budget_for, free, give_back, taken
from studio.manager.memory.planner import DoesNotFit, Kind, Move, Resident, Stage, cost_per_byte, mib, plan
from studio.manager.memory.streaming import LeafStreamer, drop_all
from studio.manager.memory.weights import changed_in_place, check_complete, check_fit, read_weights

log = logging.getLogger(__name__)

NAMED = 8  # models in one row of the ledger
KEPT_SHELLS = 8  # empty modules kept for a model's return: building one takes longer than filling it
KEPT_IN_FP32 = ("_keep_in_fp32_modules", "_keep_in_fp32_modules_strict")  # classes with layers that stay in fp32
Keys = frozenset[str]  # of components


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
    mapped: dict[Path, os.stat_result] = field(default_factory=dict)  # the files of its weights, as they were then
    streamer: LeafStreamer | None = None

    @property
    def taken(self) -> int:
        return self.bytes if self.state == "resident" else 0

    def as_resident(self, exempt: Keys = frozenset()) -> Resident:
        """As the planner sees it. What a lease holds is pinned, save the keys in `exempt`."""
        pinned = self.pinned or (self.users > 0 and self.key not in exempt)
        return Resident(self.key, self.bytes, pinned, self.last_use, self.reload_seconds, self.priority)

    def skeleton(self, device: torch.device) -> Any:
        """The module, made without weights if there is none yet. Raises ModelError where its files do not fit."""
        if self.module is None:
            module = self.source.empty(self.dtype).eval().requires_grad_(False)
            check_fit(self.source.title, module, self.source.files)
            names = {name for name, _ in module.named_buffers()}
            for file in self.source.files if names else ():
                with safe_open(file, framework="pt") as opened:
                    found = names & set(opened.keys())  # statistics, read without the module being called: they stay
                    for name in found:
                        owner, _, leaf = name.rpartition(".")
                        tensor = opened.get_tensor(name)
                        own = self.dtype if tensor.is_floating_point() else tensor.dtype
                        module.get_submodule(owner)._buffers[leaf] = tensor.to(device, own)
            self.module = lay_channels_last(module) if self.channels_last else module
        return self.module

    def load(self, device: torch.device) -> None:
        """If it fails, nothing of the component is left in memory. Raises ModelError, and what PyTorch raises out of memory."""
        try:
            self.skeleton(device)
            self.mapped = {file: file.stat() for file in self.source.files}
            if not self._fill(device):
                # As the libraries load it. Pipelines may hold the empty module already: it gets the fresh one's tensors,
                # which copies nothing.
                fresh = self.source.load(self.dtype).eval().requires_grad_(False)
                fresh = (lay_channels_last(fresh) if self.channels_last else fresh).to(device)
                self.module.load_state_dict(fresh.state_dict(), assign=True)
                self.module.to(device).requires_grad_(False)
            self.bytes, self.state = module_bytes(self.module), "resident"
        except Exception as error:
            if self.module is not None:
                drop_all(self.module)
            if isinstance(error, StudioError) or is_out_of_memory(error):
                raise
            raise ModelError(f"Its {self.source.title} cannot be read any more: {reason(error)}") from None

    def _fill(self, device: torch.device) -> bool:
        """Give the empty module its weights straight from the mapped files; False where they have other names there."""
        module, files = self.module, self.source.files
        if any(getattr(type(module), name, None) for name in KEPT_IN_FP32):
            return False
        if {name for file in files for name in read_header(file).tensors} != module.state_dict().keys():
            return False
        tensors = read_weights(files, self.dtype, device, self.channels_last)
        # A pipeline may have cast its module when it was made, and goes by that.
        wanted = {name: tensor.dtype for name, tensor in module.state_dict().items()}
        module.load_state_dict({name: tensor.to(wanted[name]) for name, tensor in tensors.items()}, assign=True)
        if device.type != "cpu":
            module.to(device)  # buffers that no file holds
        return True

    def stream(self, device: torch.device) -> None:
        module, files = self.skeleton(device), self.source.files
        check_complete(self.source.title, module, files)
        self.streamer = LeafStreamer(module, files, self.dtype, device, self.channels_last)
        self.state = "streamed"

    def stop_streaming(self) -> None:
        if self.streamer is not None:
            self.streamer.detach()
            self.streamer, self.state = None, "away"

    def evict(self) -> None:
        drop_all(self.module)
        self.warm, self.state = False, "away"
        give_back()


class Residency:
    """Every component of this process, by key. `asked` is the budget that a person set; None: what the device has."""

    def __init__(self, device: torch.device, ledger: Ledger, asked: int | None = None):
        self.device, self.ledger, self.asked = device, ledger, asked
        self.components: dict[str, Component] = {}
        self.future: Keys = frozenset()  # what waiting jobs need is evicted last
        self._base = taken()
        self._age = 0.0  # GreedyDual-Size's clock: the priority of what was last evicted
        # Models leased so far, by id, and their sets of components: several where a model was leased in several precisions,
        # or with and without a part; the last leased last.
        self._leased: dict[str, list[Keys]] = {}
        self._pins: dict[str, Keys] = {}  # models that a person keeps in memory

    def get(self, key: str, source: Source, dtype: torch.dtype, channels_last: bool, predicted: int) -> Component:
        """The component of that key, with or without its weights."""
        if key not in self.components:
            self.components[key] = Component(key, source, dtype, channels_last, predicted)
        component = self.components[key]
        component.source = source  # the same content; where it was read from before may be gone
        component.last_use = time.monotonic()
        component.priority = self._age + cost_per_byte(component.as_resident())
        return component

    def residents(self, exempt: Keys = frozenset()) -> list[Resident]:
        """For the planner: what is in memory."""
        return [c.as_resident(exempt) for c in self.components.values() if c.state == "resident"]

    def held(self) -> int:
        return sum(component.taken for component in self.components.values())

    def budget(self) -> int:
        return budget_for(self.device, self.asked, self.held(), self._base)

    def state_of_memory(self) -> str:
        return f"the memory budget is {mib(self.budget())}, and {mib(free(self.device))} of the device are free"

    # -- moves

    def perform(self, move: Move) -> None:
        """Carry a move out, and write it in the ledger. Raises ModelError, and what PyTorch raises out of memory."""
        component, began = self.components[move.key], time.perf_counter()
        if move.kind == "evict":
            self._age = max(self._age, component.priority)
            component.evict()
        elif move.kind == "stream":
            component.stream(self.device)
        else:
            component.load(self.device)
            component.reload_seconds = time.perf_counter() - began
        self.ledger.write(
            move.kind,
            component=component.source.name,
            models=component.models[:NAMED],
            key=component.key[-12:],
            predicted=move.bytes,
            measured=component.bytes if move.kind != "stream" else move.bytes,
            seconds=round(time.perf_counter() - began, 4),
            stage=move.stage,
            reason=move.reason,
        )

    def move(self, kind: Kind, component: Component, reason: str, stage: str = "") -> None:
        """One move that no plan names."""
        self.perform(Move(kind, component.key, component.bytes, stage, reason))

    def restore(self, before: Iterable[str], *, evict: bool = True) -> None:
        """Have in memory again what `before` names, and nothing else unless `evict` is False; what cannot be loaded again
        stays away."""
        keys = set(before)
        for component in self.components.values():
            if evict and component.state == "resident" and component.key not in keys:
                self.move("evict", component, "taken back")
        for component in self.components.values():
            if component.state == "away" and component.key in keys:
                try:
                    self.move("load", component, "put back")
                except (StudioError, RuntimeError) as error:
                    log.warning("%s could not be put back: %s", component.source.name, error)

    def unload(self, keys: Iterable[str] | None = None) -> None:
        """Evict these, or everything, save what a lease holds or a person pinned."""
        for resident in self.residents():
            if not resident.pinned and (keys is None or resident.key in keys):
                self.move("evict", self.components[resident.key], "unloaded")
        self.forget_unused(keep=0)

    def shrink(self, budget: int) -> None:
        """Evict what a smaller budget does not hold, and no more."""
        try:
            for move in plan([Stage("rest", ())], self.residents(), budget, self.future).moves:
                self.perform(move)
        except DoesNotFit:
            self.unload()  # what is pinned is more than that alone

    def evict_changed(self) -> None:
        """Evict what is mapped from a file that was changed in place since: its weights are no longer what was loaded."""
        for component in self.components.values():
            idle = component.state == "resident" and not component.users
            if idle and any(changed_in_place(*mapped) for mapped in component.mapped.items()):
                self.move("evict", component, "its file was changed in place")

    def stop_streaming(self) -> None:
        """After a run: what was streamed is away again."""
        for component in self.components.values():
            component.stop_streaming()

    def forget_unused(self, keep: int = KEPT_SHELLS) -> None:
        """Drop modules that have no weights and no lease, save the `keep` last used."""
        unused = [c for c in self.components.values() if c.state == "away" and not c.users]
        unused.sort(key=lambda c: (c.module is not None, c.last_use))
        for component in unused[: max(len(unused) - keep, 0)]:
            del self.components[component.key]

    # -- which models hold what

    def note_lease(self, model: str, keys: Keys, *, whole: bool) -> None:
        """The model was leased. One that is pinned is from now on kept as it was leased, if that is in memory whole."""
        known = (each for each in self._leased.get(model, []) if each != keys and each & self.components.keys())
        self._leased[model] = [*known, keys]
        if whole and model in self._pins:
            self._pins[model] = keys
        self._mark()

    def pin(self, model: str, pinned: bool) -> None:
        """Keep the model as it was last leased, or no longer. What another pinned model shares with it stays pinned."""
        if not pinned:
            self._pins.pop(model, None)
        elif model in self._leased:
            self._pins[model] = self.last_leased(model)
        self._mark()

    def _mark(self) -> None:
        kept = frozenset[str]().union(*self._pins.values())
        for component in self.components.values():
            component.pinned = component.key in kept

    def pinned(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def last_leased(self, model: str) -> Keys:
        return self._leased[model][-1] if model in self._leased else frozenset()

    def whole(self) -> dict[str, Keys]:
        """Models that are in memory whole, in one precision at least, and their components of these precisions."""
        there = {key for key, component in self.components.items() if component.state == "resident"}
        found = {name: frozenset().union(*(k for k in sets if k <= there)) for name, sets in self._leased.items()}
        return {name: keys for name, keys in found.items() if keys}

    def holders(self, key: str) -> tuple[str, ...]:
        """Ids of the models that the component is part of."""
        return tuple(name for name, sets in self._leased.items() if any(key in keys for keys in sets))

    def own(self, model: str) -> Keys:
        """Everything of the model's, in any precision, but what other models that are in memory whole hold too; all of it
        where another model is made of the very same."""
        every = frozenset[str]().union(*self._leased.get(model, []))
        others = frozenset[str]().union(*(keys for name, keys in self.whole().items() if name != model))
        return every - others or every
