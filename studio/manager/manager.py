"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease, under a budget.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the
components. Which moves to make is the planner's business, how they are made the residency's.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from studio import compat
from studio.core.desk import MemoryView
from studio.core.errors import Cancelled, ModelError, OutOfMemory
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.assembly import PRIVATE, Assembler
from studio.manager.attention import set_attention
from studio.manager.catalog import Catalog
from studio.manager.estimate import Shape, folder_weights, stages_for
from studio.manager.experience import Experience, kind_of_run
from studio.manager.imported import prepared_in, sweep
from studio.manager.imports import Imports
from studio.manager.ladder import DENOISE, Ladder, is_out_of_memory, rungs_for
from studio.manager.ledger import Ledger
from studio.manager.limits import PeakMeter, budget_for, free, taken
from studio.manager.loaded import Loaded
from studio.manager.planner import DoesNotFit, Kind, Move, Part, Plan, Stage, arithmetic, greedy_dual_size, mib, plan
from studio.manager.residency import Component, Residency
from studio.manager.soundness import first_unsound
from studio.manager.staging import Staging

__all__ = ["Loaded", "Manager", "device_of", "shape_of"]

Report = Callable[[str, float | None], None]
SOUND = "1"  # of the rows that say whether weights are: raise it when they are looked at differently


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
        self._parts: dict[str, frozenset[str]] = {}  # model id -> keys of its components, of models leased so far
        self._future: frozenset[str] = frozenset()  # keys of components that waiting jobs will want
        self.imports = Imports(settings.models)
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
        loaded, components = self._assembled(info, folder, dtype, channels_last)
        self._check_numbers(info, dtype, components, loaded.weights, report)
        shape, facts = shape_of(info, request), folder_weights(folder)
        keys = {name: component.key for name, component in components.items()}
        run = kind_of_run(facts, loaded.family, shape, dtype)
        measured = self._experience.working(run)
        stages = stages_for(loaded.family, facts, shape, dtype, self.device.type, keys, measured)
        for component in components.values():
            component.users += 1
        try:
            with ExitStack() as stack:
                with self._all_or_as_before():
                    self._admit(stages, components, report, stack, begin=lambda: loaded.ladder.begin())
                self._parts[info.id] = frozenset(keys.values())
                warm = all(component.warm for component in components.values())
                whole = all(component.state == "resident" for component in components.values())
                loaded.components.update({name: component.module for name, component in components.items()})
                denoiser = loaded.components.get(loaded.family.denoiser)
                loaded = replace(
                    loaded,
                    ladder=self._ladder(loaded, components, shape, run, stages, whole),
                    attention=set_attention(denoiser, self.settings.attention, self.device),
                    whole=whole,
                )
                report("ready", 1.0)
                meter = PeakMeter(self.device)
                meter.start()
                yield loaded
                if request is not None and whole and not loaded.ladder.taken:
                    peak = meter.read()
                    if warm and peak is not None:  # else it holds weights that were touched for the first time
                        self._experience.learn(run, peak)
                        planned = max(stage.activation for stage in stages)
                        self.ledger.write("measure", component=info.title, key=run, predicted=planned, measured=peak)
                    for component in components.values():
                        component.warm = component.state == "resident"
        finally:
            self._end(components)

    def memory(self) -> MemoryView:
        """What is resident against the budget, in bytes, component by component."""
        held = self.residency.held()
        resident = [c for c in self.residency.components.values() if c.state == "resident"]
        there = {component.key for component in resident}
        pinned = {c.key for c in self.residency.components.values() if c.pinned}
        return MemoryView(
            budget=self.budget(),
            used=held,
            device=str(self.device),
            residents=tuple((component.source.name, component.bytes) for component in resident),
            holders=tuple(
                tuple(name for name, keys in self._parts.items() if component.key in keys) for component in resident
            ),
            models=tuple(name for name, keys in self._parts.items() if keys <= there),
            pinned=tuple(name for name, keys in self._parts.items() if keys <= pinned),
        )

    def resident(self) -> list[tuple[str, int]]:
        """(component, bytes) of what is in memory."""
        return list(self.memory().residents)

    def prepare(self, info: ModelInfo, dtype: str) -> None:
        """Have a single file converted in the background; `imports` tells how far it is. Raises ModelError."""
        self.imports.prepare(self._assembler.conversion(info, dtype))

    def prepared(self) -> tuple[str, ...]:
        """Ids of the single files that are converted already."""
        return prepared_in(self._assembler.imported, self.catalog.models(), self.catalog.path)

    def sweep(self) -> None:
        """Remove converted folders that are of no more use."""
        sweep(self._assembler.imported)

    def budget(self) -> int:
        return budget_for(self.device, self._budget, self.residency.held(), self._base)

    def set_budget(self, size: int | None) -> None:
        """Hold what comes to `size` bytes (None: what the device has); what is there and does not fit goes at once."""
        self._budget = size
        if self.residency.held() > self.budget():
            self.unload()

    def pin(self, info: ModelInfo, pinned: bool) -> None:
        """Keep a model that was leased in memory whatever comes, or no longer."""
        for key in self._parts.get(info.id, frozenset()) & self.residency.components.keys():
            self.residency.components[key].pinned = pinned

    def unload(self, info: ModelInfo | None = None) -> None:
        """Let go of one model, or of everything, save what a lease holds or a person pinned."""
        keys = self._parts.get(info.id, frozenset()) if info else self.residency.components.keys()
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
            keys |= self._parts.get(info.id, frozenset())
        self._future = frozenset(keys)

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

    def _check_numbers(
        self, info: ModelInfo, dtype: str, components: dict[str, Component], weights: dict[str, str], report: Report
    ) -> None:
        """Refuse weights that hold NaN, before anything moves. Looked at once for each content, and remembered."""
        for name, component in components.items():
            mark, part = f"sound:{weights[name]}:{dtype}", name.replace("_", " ")
            known = self.catalog.index.facts(mark, SOUND)
            if known is None:
                report(f"checking the numbers of {part}", None)
                bad = first_unsound(component.source.files, component.dtype)
                known = {"bad": bad[0] if bad else None, "large": bool(bad and bad[1])}
                self.catalog.index.put_facts([(mark, SOUND, known)])
            if known["bad"] is None:
                continue
            if known["large"]:
                raise ModelError(
                    f"Its {part} holds numbers too large for {dtype}, in {known['bad']}. Try fp32 or bf16."
                )
            problem = f"Its {part} holds numbers that are not finite (NaN), in {known['bad']}."
            if not (name == "vae" and info.vae):  # else it is not the model's own
                self.catalog.remember_problem(info.id, problem)
            raise ModelError(problem)

    @contextmanager
    def _all_or_as_before(self) -> Iterator[None]:
        """A model that fails to come in leaves memory as it found it: what came goes, what made way comes back."""
        before = {resident.key for resident in self.residency.residents()}
        try:
            yield
        except Cancelled:
            raise
        except Exception as error:
            failed = is_out_of_memory(error)
            self.residency.restore(before)
            if not failed:
                raise
        else:
            return
        # Out of the handler: what the failed load had read hung on the traceback.
        self.residency.restore(before)
        raise OutOfMemory(f"The device's memory did not suffice to load it: {self._state_of_memory()}.")

    def _admit(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        report: Report,
        stack: ExitStack,
        begin: Callable[[], None],
    ) -> None:
        """Bring the model in: all at once where the budget holds it whole, else stage by stage while it runs."""
        budget, ours = self.budget(), frozenset(c.key for c in components.values() if c.users == 1)

        def planned(run: list[Stage]) -> Plan:
            return plan(run, self.residency.residents(ours), budget, self._future, policy=greedy_dual_size)

        try:
            whole = planned([_merged(stages)])
        except DoesNotFit:
            self._run_in_stages(stages, components, planned, report, stack, begin)
        else:
            self._perform(whole.moves, report)

    def _run_in_stages(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        planned: Callable[[list[Stage]], Plan],
        report: Report,
        stack: ExitStack,
        begin: Callable[[], None],
    ) -> None:
        def enter(name: str) -> None:
            number = next(n for n, stage in enumerate(stages) if stage.name == name)
            self.residency.stop_streaming()
            self._perform(planned([*stages[number:], *stages[:number]]).of_stage(name), _quiet)
            if name == DENOISE:
                begin()

        planned(stages)  # refuse before anything has moved
        by_key = {component.key: self.residency.skeleton(component) for component in components.values()}
        members = {stage.name: [by_key[part.key] for part in stage.parts] for stage in stages}
        report("to be read stage by stage, as the budget asks", None)
        stack.enter_context(Staging(members, enter, self.device))

    def _perform(self, moves: tuple[Move, ...], report: Report) -> None:
        for number, move in enumerate(moves):
            verb = "letting go of" if move.kind == "evict" else "reading"
            report(f"{verb} {self.residency.components[move.key].source.name.replace('_', ' ')}", number / len(moves))
            self.residency.perform(move)

    def _end(self, components: dict[str, Component]) -> None:
        """A lease ends: what was streamed is away, and back where a person pinned it."""
        for component in components.values():
            component.users -= 1
        self.residency.stop_streaming()
        self.residency.restore({component.key for component in components.values() if component.pinned}, evict=False)
        self.residency.forget_unused()

    def _ladder(
        self,
        loaded: Loaded,
        components: dict[str, Component],
        shape: Shape,
        run: str,
        stages: list[Stage],
        whole: bool,
    ) -> Ladder:
        """What can be tried if this run is out of memory all the same, starting where the last of its kind ended."""
        denoiser, budget = components.get(loaded.family.denoiser), self.budget()

        def move(kind: Kind, reason: str) -> None:
            if denoiser is not None:
                self.residency.perform(Move(kind, denoiser.key, denoiser.bytes, DENOISE, reason))

        def stream() -> None:
            move("evict", "to be streamed")
            move("stream", "out of memory")

        @contextmanager
        def release() -> Iterator[None]:
            move("evict", "out of memory while decoding")
            try:
                yield
            finally:
                if whole:  # else the next stage's plan brings it back
                    move("load", "decoded")

        def told(stage: str) -> str:
            of_stage = [s for s in stages if s.name == stage] or stages
            return f"{arithmetic(of_stage[0], self.residency.residents())}; {self._state_of_memory()}."

        rungs = rungs_for(
            loaded.components.get(loaded.family.decoder or ""),
            shape.batch,
            max(shape.width, shape.height),
            self.device,
            evictable=lambda: sum(r.bytes for r in self.residency.residents() if not r.pinned),
            evict=self.unload,
            streamable=lambda: denoiser is not None and denoiser.users == 1 and denoiser.state == "resident",
            stream=stream,
            release=release,
        )
        taken = self._experience.rungs(run, budget)
        return Ladder(rungs, taken, lambda names: self._experience.remember_rungs(run, names, budget), told)

    def _state_of_memory(self) -> str:
        return f"the memory budget is {mib(self.budget())}, and {mib(free(self.device))} of the device are free"


def _quiet(what: str, fraction: float | None) -> None:
    """A report to nobody."""


def device_of(settings: Settings) -> torch.device:
    """The device that the settings name; `auto` is CUDA, then MPS, then the CPU."""
    if settings.device != "auto":
        return torch.device(settings.device)
    return torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")


def shape_of(info: ModelInfo, request: GenerationRequest | None) -> Shape:
    defaults = info.defaults
    if request is None:
        return Shape(defaults.width, defaults.height, 1, info.guided)
    return Shape(
        request.width or defaults.width,
        request.height or defaults.height,
        min(request.batch_size, request.count),
        info.guided and request.guidance_scale > 1,
    )


def _merged(stages: list[Stage]) -> Stage:
    """All stages' components at once, none streamed, with the working memory of the hungriest."""
    parts = {part.key: part for stage in stages for part in stage.parts}
    whole = tuple(Part(part.key, part.bytes) for part in parts.values())
    return Stage("run", whole, max(stage.activation for stage in stages))
