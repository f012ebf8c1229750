"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease, under a budget.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the components.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch

from studio import compat
from studio.core.errors import InvalidRequest, ModelError
from studio.core.memory import MemoryView
from studio.core.models import ModelInfo
from studio.core.parts import PartBase
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.conversion.converted_folders import Conversion, prepared_in, sweep
from studio.manager.conversion.imports import MOVE, Imports
from studio.manager.disk.catalog import Catalog
from studio.manager.memory.admission import Staging, bring_in
from studio.manager.memory.assembly import DTYPES, PRIVATE, Assembled, Assembler, Loaded, set_attention
from studio.manager.memory.estimate import Run, run_of, shape_of
from studio.manager.memory.fallbacks import DENOISE, Fallbacks, fallbacks_for, first_that_fits, variants
from studio.manager.memory.ledger import Experience, Ledger
from studio.manager.memory.limits import give_back, measure_peak
from studio.manager.memory.planner import arithmetic
from studio.manager.memory.residency import Residency

__all__ = ["Expected", "Loaded", "Manager", "device_of", "shape_of"]

Report = Callable[[str, float | None], None]


class Expected(NamedTuple):
    """What a waiting job will lease."""

    info: ModelInfo
    dtype: str
    channels_last: bool = False
    parts: Sequence[PartBase] = ()


class Manager:
    """Owns every module in this process. One device, one run at a time."""

    def __init__(self, settings: Settings, catalog: Catalog | None = None):
        compat.prepare()
        self.settings, private = settings, settings.outputs / PRIVATE
        self.catalog = catalog or Catalog(settings.models, private / "catalog.db")
        self.device = device_of(settings)
        self.ledger = Ledger(private / "ledger.jsonl")
        self.residency = Residency(self.device, self.ledger, settings.memory_budget)
        self.imports = Imports(settings.models, made=self._note_import)
        self._assembler = Assembler(settings, self.catalog, self.residency, self.imports)
        self._experience = Experience(self.catalog.index, self.device.type)

    @contextmanager
    def lease(
        self,
        info: ModelInfo,
        dtype: str,
        report: Report = lambda what, fraction: None,
        *,
        parts: Sequence[PartBase] | None = None,  # those of `request` if not given
        channels_last: bool = False,
        request: GenerationRequest | None = None,
    ) -> Iterator[Loaded]:
        """Have `info`, with what parts need, in memory in `dtype` ("fp32", "bf16", "fp16") for the length of a `with`.

        Working memory is planned for the shape of `request`; for the model's own defaults if not given. Raises ModelError,
        StorageError, and OutOfMemory with the arithmetic if the budget cannot hold it; memory is as before then.
        """
        if parts is None:
            parts = request.parts if request else ()
        model = self._assembler.assemble(info, dtype, channels_last, parts, report)
        self.residency.evict_changed()
        keys = {name: component.key for name, component in model.components.items()}
        run = replace(run_of(model.parts, shape_of(info, request), dtype, self.device.type), keys=keys)
        run = replace(run, measured=self._experience.working_memory(run.kind))
        with self._held(model), ExitStack() as stack:
            (chosen, _), staging = first_that_fits(
                variants(run), lambda stages: bring_in(self.residency, model, stages, report, stack)
            )
            self.residency.note_lease(info.id, frozenset(keys.values()), whole=staging is None)
            loaded = self._loaded(model, staging, self._fallbacks(model, run, staging, chosen))
            report("ready", 1.0)
            with self._measured(model, run, loaded) if request is not None and loaded.whole else nullcontext():
                yield loaded

    def memory(self) -> MemoryView:
        """What is resident against the budget, in bytes, component by component."""
        resident = [c for c in self.residency.components.values() if c.state == "resident"]
        return MemoryView(
            budget=self.budget(),
            used=self.residency.held(),
            device=str(self.device),
            residents=tuple((component.source.name, component.bytes) for component in resident),
            holders=tuple(self.residency.holders(component.key) for component in resident),
            models=tuple(self.residency.whole()),
            pinned=self.residency.pinned(),
        )

    def resident(self) -> list[tuple[str, int]]:
        """(component, bytes) of what is in memory."""
        return list(self.memory().residents)

    def at_hand(self, info: ModelInfo, dtype: str) -> bool:
        """Whether a lease could begin to load at once, with nothing to convert first."""
        conversion = self._assembler.conversion(info, dtype)
        return conversion is None or conversion.complete

    def conversion(self, info: ModelInfo, dtype: str) -> Conversion:
        """For `imports`: the conversion of a single file. Raises ModelError where there is nothing to convert."""
        conversion = self._assembler.conversion(info, dtype)
        if conversion is None:
            raise ModelError(f"{info.title} is a folder already, which is used as it is.")
        return conversion

    def prepared(self) -> tuple[str, ...]:
        """Ids of the single files that are converted already."""
        return prepared_in(self._assembler.imported, self.catalog)

    def sweep(self) -> None:
        """Remove converted folders that are of no more use."""
        sweep(self._assembler.imported)

    def budget(self) -> int:
        return self.residency.budget()

    def set_budget(self, size: int | None) -> None:
        """Limit models to `size` bytes (None: what the device has); what is in memory and does not fit is unloaded at once."""
        self.residency.asked = size
        self.residency.shrink(self.budget())

    def pin(self, info: ModelInfo, pinned: bool) -> None:
        """Keep a model that was leased in memory whatever comes, or no longer."""
        self.residency.pin(info.id, pinned)

    def unload(self, info: ModelInfo | None = None) -> None:
        """Unload one model, or everything, save what a lease holds, a person pinned, or other models in memory share with it."""
        self.residency.unload(self.residency.own(info.id) if info else None)

    def expect(self, expected: Iterable[Expected]) -> None:
        """What waiting jobs will lease: where something has to be evicted, that is evicted last."""
        keys: set[str] = set()
        for job in expected:
            try:
                keys |= self._assembler.known_keys(*job)
            except (ModelError, OSError):
                continue  # it will be refused in its turn
            keys |= self.residency.last_leased(job.info.id)
        self.residency.future = frozenset(keys)

    @contextmanager
    def room(self, extra: int) -> Iterator[bool]:
        """Whether `extra` bytes may be taken beside what is leased, for the length of a `with`; idle models are evicted for them."""
        kept = sum(resident.bytes for resident in self.residency.residents() if resident.pinned)
        fits = kept + extra <= self.budget()
        if fits:
            self.residency.shrink(self.budget() - extra)
        try:
            yield fits
        finally:
            give_back()

    # -- the steps of a lease

    @contextmanager
    def _held(self, model: Assembled) -> Iterator[None]:
        """Pinned for the length of a `with`; afterwards what was streamed is away, or loaded again where a person pinned it."""
        components = set(model.components.values())
        for component in components:
            component.users += 1
            component.models = tuple(dict.fromkeys((*component.models, model.info.id)))
        try:
            yield
        finally:
            for component in components:
                component.users -= 1
            self.residency.stop_streaming()
            self.residency.restore({each.key for each in components if each.pinned}, evict=False)
            self.residency.forget_unused()

    def _loaded(self, model: Assembled, staging: Staging | None, fallbacks: Fallbacks) -> Loaded:
        modules = model.modules()
        if staging is not None:
            staging.then = fallbacks.begin  # the denoiser may have been loaded again
        return Loaded(
            info=model.info,
            family=model.family,
            components=model.small | modules | model.parts.pipeline_arguments(modules),
            dtype=DTYPES[model.dtype],
            device=self.device,
            weights=model.hashes,
            folder=model.folder,
            fallbacks=fallbacks,
            attention=set_attention(modules.get(model.family.denoiser), self.settings.attention, self.device),
            whole=staging is None,
            restart=staging.restart if staging else lambda: None,
            arguments=model.arguments,
            notes=model.parts.notes,
        )

    def _fallbacks(self, model: Assembled, run: Run, staging: Staging | None, chosen: tuple[str, ...]) -> Fallbacks:
        """What can be tried if this run is out of memory all the same, beginning with what the last of its kind needed."""
        denoiser, residency, budget = model.components[model.family.denoiser], self.residency, self.budget()

        def stream() -> None:
            residency.move("evict", denoiser, "to be streamed", DENOISE)
            residency.move("stream", denoiser, "out of memory", DENOISE)

        def release(stack: ExitStack) -> None:
            residency.move("evict", denoiser, "out of memory while decoding")
            if staging is None:  # else the next stage's plan loads it again
                stack.callback(residency.move, "load", denoiser, "decoded")

        def arithmetic_of(name: str) -> str:
            stages = {stage.name: stage for stage in run.stages()}
            stage = stages.get(name) or next(iter(stages.values()))  # what runs in no stage counts with the first
            return f"{arithmetic(stage, residency.residents())}; {residency.state_of_memory()}."

        found = fallbacks_for(
            model.modules().get(model.family.decoder or ""),
            run.shape,
            self.device,
            idle=lambda: any(not resident.pinned for resident in residency.residents()),
            evict=residency.unload,
            movable=lambda: model.parts.streamable and denoiser.users == 1 and denoiser.state == "resident",
            stream=stream,
            release=release,
        )
        remember = partial(self._experience.remember_fallbacks, run.kind, budget=budget)
        needed = self._experience.fallbacks(run.kind, budget)
        return Fallbacks(found, (*needed, *chosen), remember, arithmetic_of)

    @contextmanager
    def _measured(self, model: Assembled, run: Run, loaded: Loaded) -> Iterator[None]:
        """Learn what a run takes beside its weights; not from one that also touched weights for the first time."""
        components = model.components.values()
        warm = all(component.warm for component in components)
        measured = measure_peak(self.device, exact=run.measured is None and warm)
        yield
        if loaded.fallbacks.taken:
            return
        if warm and (peak := measured()) is not None:
            self._experience.learn(run.kind, peak)
            planned = max(stage.activation for stage in run.stages())
            self.ledger.write("measure", models=[model.info.id], key=run.kind, predicted=planned, measured=peak)
        for component in components:
            component.warm = component.state == "resident"

    def _note_import(self, conversion: Conversion, seconds: float) -> None:
        models, size, reason = [conversion.info.id], conversion.info.bytes, f"to {conversion.dtype}"
        self.ledger.write(MOVE, models=models, measured=size, seconds=round(seconds, 2), reason=reason)


def device_of(settings: Settings) -> torch.device:
    """The device that the settings name; `auto` is CUDA, then MPS, then the CPU. Raises InvalidRequest where it is not here."""
    if settings.device != "auto":
        device = torch.device(settings.device)
        there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(device.type, 1)
        if (device.index or 0) >= there:
            raise InvalidRequest(f"PyTorch finds no device {device} here; start with --device auto.", field="device")
        return device
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
