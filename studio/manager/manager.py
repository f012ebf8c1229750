"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease, under a budget.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the
components. Which moves to make is the planner's business, how they are made the residency's.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from studio import compat
from studio.core.errors import InvalidRequest, ModelError
from studio.core.memory import MemoryView
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.conversion.imported import Conversion, prepared_in, sweep
from studio.manager.conversion.imports import Imports
from studio.manager.conversion.pace import MOVE
from studio.manager.disk.catalog import Catalog
from studio.manager.families import Family
from studio.manager.memory.admission import Admission, state_of_memory
from studio.manager.memory.assembly import PRIVATE, Assembler
from studio.manager.memory.attention import set_attention
from studio.manager.memory.estimate import Shape, folder_weights, with_vae
from studio.manager.memory.experience import Estimate, Experience
from studio.manager.memory.fallbacks import DENOISE, Fallbacks, fallbacks_for, first_that_fits
from studio.manager.memory.holdings import Holdings
from studio.manager.memory.ledger import Ledger
from studio.manager.memory.limits import PeakMeter, budget_for, give_back, taken
from studio.manager.memory.loaded import Loaded
from studio.manager.memory.planner import Kind, Move, arithmetic
from studio.manager.memory.residency import Component, Residency
from studio.manager.memory.soundness import check_numbers

__all__ = ["Loaded", "Manager", "device_of", "shape_of"]

Report = Callable[[str, float | None], None]


class Manager:
    """Owns every module in this process. One device, one run at a time."""

    def __init__(self, settings: Settings, catalog: Catalog | None = None):
        compat.prepare()
        self.settings = settings
        private = settings.outputs / PRIVATE
        self.catalog = catalog or Catalog(settings.models, private / "catalog.db")
        self.device = device_of(settings)
        self.ledger = Ledger(private / "ledger.jsonl")
        self.residency = Residency(self.device, self.ledger)
        self._budget = settings.memory_budget
        self._base = taken()
        self._holdings = Holdings(self.residency)
        self.imports = Imports(settings.models, made=self._note_import)
        self._admission = Admission(self.residency, evict=self.unload)
        self._assembler = Assembler(settings, self.catalog, self.residency, self.imports)
        self._experience = Experience(self.catalog.index, self.device.type)

    @contextmanager
    def lease(
        self,
        info: ModelInfo,
        dtype: str,
        report: Report = lambda what, fraction: None,
        *,
        channels_last: bool = False,
        request: GenerationRequest | None = None,
    ) -> Iterator[Loaded]:
        """Have `info` in memory in `dtype` ("fp32", "bf16", "fp16") for the length of a `with`.

        `request` tells the shape that working memory is planned for; the model's own defaults if not given. Raises
        ModelError, StorageError, and OutOfMemory with the arithmetic if the budget cannot hold it; what was in memory
        before is there again then.
        """
        folder = self._assembler.folder(info, dtype, report)
        self.residency.let_go_of_changed()
        loaded, components = self._assembled(info, folder, dtype, channels_last)
        check_numbers(info, dtype, components, loaded.weights, self.catalog, report)
        estimate = self._estimate(info, folder, loaded.family, components, dtype, request)
        for component in components.values():
            component.users += 1
            component.models = tuple(dict.fromkeys((*component.models, info.id)))
        try:
            with ExitStack() as stack:
                (asked, _), _ = first_that_fits(
                    estimate.variants,
                    lambda stages: self._admission.bring_in(
                        stages, components, self.budget, report, stack, begin=lambda: loaded.fallbacks.begin()
                    ),
                )
                warm = all(component.warm for component in components.values())
                whole = all(component.state == "resident" for component in components.values())
                self._holdings.note(info.id, frozenset(each.key for each in components.values()), whole=whole)
                loaded.components.update({name: component.module for name, component in components.items()})
                denoiser = loaded.components.get(loaded.family.denoiser)
                loaded = replace(
                    loaded,
                    fallbacks=self._fallbacks(loaded, components, estimate, whole, asked),
                    attention=set_attention(denoiser, self.settings.attention, self.device),
                    whole=whole,
                    restart=self._admission.restart,
                )
                report("ready", 1.0)
                meter = PeakMeter(self.device)
                meter.start(exact=estimate.measured is None and warm)
                yield loaded
                if request is not None and whole and not loaded.fallbacks.taken:
                    self._learn(info, estimate, meter.read() if warm else None)
                    for component in components.values():
                        component.warm = component.state == "resident"
        finally:
            self._end(components)

    def memory(self) -> MemoryView:
        """What is resident against the budget, in bytes, component by component."""
        held = self.residency.held()
        resident = [c for c in self.residency.components.values() if c.state == "resident"]
        return MemoryView(
            budget=self.budget(),
            used=held,
            device=str(self.device),
            residents=tuple((component.source.name, component.bytes) for component in resident),
            holders=tuple(self._holdings.of(component.key) for component in resident),
            models=self._holdings.whole(),
            pinned=self._holdings.pinned(),
        )

    def resident(self) -> list[tuple[str, int]]:
        """(component, bytes) of what is in memory."""
        return list(self.memory().residents)

    def at_hand(self, info: ModelInfo, dtype: str) -> bool:
        """Whether a lease could begin to load at once, with nothing to convert first."""
        return self._assembler.folder_at_hand(info, dtype) is not None

    def conversion(self, info: ModelInfo, dtype: str) -> Conversion:
        """For `imports`: the conversion of a single file. Raises ModelError where there is nothing to convert."""
        return self._assembler.conversion(info, dtype)

    def prepared(self) -> tuple[str, ...]:
        """Ids of the single files that are converted already."""
        return prepared_in(self._assembler.imported, self.catalog.models(), self.catalog.path, self._assembler.beside)

    def sweep(self) -> None:
        """Remove converted folders that are of no more use."""
        sweep(self._assembler.imported)

    def budget(self) -> int:
        return budget_for(self.device, self._budget, self.residency.held(), self._base)

    def set_budget(self, size: int | None) -> None:
        """Hold what comes to `size` bytes (None: what the device has); what is there and does not fit goes at once."""
        self._budget = size
        self._admission.shrink(self.budget())

    def pin(self, info: ModelInfo, pinned: bool) -> None:
        """Keep a model that was leased in memory whatever comes, or no longer."""
        self._holdings.pin(info.id, pinned)

    def unload(self, info: ModelInfo | None = None) -> None:
        """Let go of one model, or of everything, save what a lease holds or a person pinned.

        Of one model, what others that are in memory are made of stays as well.
        """
        keys = self._holdings.own(info.id) if info else self.residency.components.keys()
        for resident in self.residency.residents():
            if resident.key in keys and not resident.pinned:
                self.residency.perform(Move("evict", resident.key, resident.bytes, "", "unloaded"))
        self.residency.forget_unused(keep=0)

    def expect(self, wanted: Iterable[tuple[ModelInfo, str, bool]]) -> None:
        """What waiting jobs will want, as (model, dtype, channels_last): where something has to go, that goes last."""
        keys: set[str] = set()
        for info, dtype, channels_last in wanted:
            try:
                keys |= self._assembler.known_keys(info, dtype, channels_last)
            except (ModelError, OSError):
                continue  # it will be refused in its turn
            keys |= self._holdings.last(info.id)
        self._admission.future = frozenset(keys)

    @contextmanager
    def room(self, extra: int) -> Iterator[bool]:
        """Whether `extra` bytes may be taken beside what is leased, for the length of a `with`; idle models make way for them."""
        kept = sum(resident.bytes for resident in self.residency.residents() if resident.pinned)
        fits = kept + extra <= self.budget()
        if fits:
            self._admission.shrink(self.budget() - extra)
        try:
            yield fits
        finally:
            give_back()

    # -- making a model ready

    def _assembled(
        self, info: ModelInfo, folder: Path, dtype: str, channels_last: bool
    ) -> tuple[Loaded, dict[str, Component]]:
        try:
            return self._assembler.assemble(info, folder, dtype, channels_last)
        except OSError as error:
            raise ModelError(
                f"{info.title} cannot be read any more: {error.strerror or 'a file is missing'}."
            ) from None

    def _estimate(
        self,
        info: ModelInfo,
        folder: Path,
        family: Family,
        components: dict[str, Component],
        dtype: str,
        request: GenerationRequest | None,
    ) -> Estimate:
        facts = with_vae(folder_weights(folder), self.catalog.other_vae(info))
        facts = {name: weights for name, weights in facts.items() if name in components}
        keys = {name: component.key for name, component in components.items()}
        shape = shape_of(info, request)
        return self._experience.estimate(family, facts, shape, dtype, keys)

    def _learn(self, info: ModelInfo, estimate: Estimate, peak: int | None) -> None:
        """Keep what a run took beside its weights; None where it also touched weights for the first time, or nothing tells."""
        if peak is not None:
            self._experience.learn(estimate.run, peak)
            planned = max(stage.activation for stage in estimate.stages)
            self.ledger.write("measure", models=[info.id], key=estimate.run, predicted=planned, measured=peak)

    def _note_import(self, conversion: Conversion, seconds: float) -> None:
        info = conversion.info
        self.ledger.write(
            MOVE, models=[info.id], measured=info.bytes, seconds=round(seconds, 2), reason=f"to {conversion.dtype}"
        )

    def _end(self, components: dict[str, Component]) -> None:
        """A lease ends: what was streamed is away, and back where a person pinned it."""
        for component in components.values():
            component.users -= 1
        self.residency.stop_streaming()
        self.residency.restore({component.key for component in components.values() if component.pinned}, evict=False)
        self.residency.forget_unused()

    def _fallbacks(
        self,
        loaded: Loaded,
        components: dict[str, Component],
        estimate: Estimate,
        whole: bool,
        asked: tuple[str, ...],  # those that the budget asks for
    ) -> Fallbacks:
        """What can be tried if this run is out of memory all the same, beginning with what the last of its kind needed."""
        denoiser, budget = components.get(loaded.family.denoiser), self.budget()
        run, stages = estimate.run, estimate.stages

        def move(kind: Kind, reason: str) -> None:
            if denoiser is not None:
                self.residency.perform(Move(kind, denoiser.key, denoiser.bytes, DENOISE, reason))

        def stream() -> None:
            move("evict", "to be streamed")
            move("stream", "out of memory")

        @contextmanager
        def released() -> Iterator[None]:
            move("evict", "out of memory while decoding")
            try:
                yield
            finally:
                if whole:  # else the next stage's plan brings it back
                    move("load", "decoded")

        def arithmetic_of(stage: str) -> str:
            of_stage = [s for s in stages if s.name == stage] or stages
            return (
                f"{arithmetic(of_stage[0], self.residency.residents())}; {state_of_memory(self.device, self.budget())}."
            )

        fallbacks = fallbacks_for(
            loaded.components.get(loaded.family.decoder or ""),
            estimate.shape,
            self.device,
            idle=lambda: any(not resident.pinned for resident in self.residency.residents()),
            evict=self.unload,
            movable=lambda: denoiser is not None and denoiser.users == 1 and denoiser.state == "resident",
            stream=stream,
            released=released,
        )
        taken = (*self._experience.fallbacks(run, budget), *asked)
        remember = partial(self._experience.remember_fallbacks, run, budget=budget)
        return Fallbacks(fallbacks, taken, remember, arithmetic_of)


def device_of(settings: Settings) -> torch.device:
    """The device that the settings name; `auto` is CUDA, then MPS, then the CPU. Raises InvalidRequest where it is not here."""
    if settings.device != "auto":
        device = torch.device(settings.device)
        there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type, 1)
        if (device.index or 0) >= there:
            raise InvalidRequest(f"PyTorch finds no device {device} here; start with --device auto.", field="device")
        return device
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def shape_of(info: ModelInfo, request: GenerationRequest | None) -> Shape:
    defaults = info.defaults
    if request is None:
        first = info.cascade or defaults  # of a cascade's first model, which makes only the first and smallest picture
        return Shape(first.width, first.height, 1, info.capabilities.guided)
    return Shape(
        request.width or defaults.width,
        request.height or defaults.height,
        min(request.batch_size, request.count),
        info.capabilities.guided and request.guidance_scale > 1,
    )
