"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease, under a budget.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the
components. Which moves to make is the planner's business, how they are made the residency's.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch

from studio import compat
from studio.core.desk import MemoryView
from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.assembly import PRIVATE, Assembler
from studio.manager.attention import set_attention
from studio.manager.catalog import Catalog
from studio.manager.estimate import Shape, folder_weights, stages_for
from studio.manager.experience import Experience, kind_of_run
from studio.manager.ladder import Ladder, rungs_for
from studio.manager.ledger import Ledger
from studio.manager.limits import PeakMeter, budget_for, taken
from studio.manager.loaded import Loaded
from studio.manager.loading import first_bad_tensor
from studio.manager.planner import DoesNotFit, Move, Part, Plan, Stage, greedy_dual_size, plan
from studio.manager.residency import Component, Residency
from studio.manager.staging import Staging

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
        self._parts: dict[str, frozenset[str]] = {}  # model id -> keys of its components, of models leased so far
        self._assembler = Assembler(settings, self.catalog, self.residency)
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
        ModelError, StorageError, and OutOfMemory with the arithmetic if the budget cannot hold it.
        """
        folder = self._assembler.folder(info, dtype, report)
        loaded, components = self._assembler.assemble(info, folder, dtype, channels_last)
        self._parts[info.id] = frozenset(component.key for component in components.values())
        shape = shape_of(info, request)
        facts = folder_weights(folder)
        keys = {name: component.key for name, component in components.items()}
        run = kind_of_run(facts, loaded.family, shape, dtype)
        measured = self._experience.working(run)
        stages = stages_for(loaded.family, facts, shape, dtype, self.device.type, keys, measured)
        for component in components.values():
            component.users += 1
        try:
            with ExitStack() as stack:
                self._admit(stages, components, report, stack)
                warm = all(component.warm for component in components.values())
                loaded.components.update({name: component.module for name, component in components.items()})
                loaded = replace(
                    loaded,
                    ladder=self._ladder(loaded, components, shape.batch, run),
                    attention=set_attention(
                        loaded.components.get(loaded.family.denoiser), self.settings.attention, self.device
                    ),
                    whole=all(component.state == "resident" for component in components.values()),
                )
                self._check_finite(components, loaded.weights)
                report("ready", 1.0)
                meter = PeakMeter(self.device)
                meter.start()
                yield loaded
                if request is not None and loaded.whole:
                    peak = meter.read()
                    if warm and peak is not None:  # else it holds weights that were touched for the first time
                        self._experience.learn(run, peak)
                        planned = max(stage.activation for stage in stages)
                        self.ledger.write("measure", component=info.title, key=run, predicted=planned, measured=peak)
                    for component in components.values():
                        component.warm = component.state == "resident"
        finally:
            for component in components.values():
                component.users -= 1
            self.residency.stop_streaming()
            self.residency.forget_unused()

    def memory(self) -> MemoryView:
        """What is resident against the budget, in bytes, component by component."""
        held = self.residency.held()
        residents = [(c.source.name, c.bytes) for c in self.residency.components.values() if c.state == "resident"]
        there = {c.key for c in self.residency.components.values() if c.state == "resident"}
        pinned = {c.key for c in self.residency.components.values() if c.pinned}
        return MemoryView(
            budget=self.budget(),
            used=held,
            device=str(self.device),
            residents=tuple(residents),
            models=tuple(name for name, keys in self._parts.items() if keys <= there),
            pinned=tuple(name for name, keys in self._parts.items() if keys <= pinned),
        )

    def resident(self) -> list[tuple[str, int]]:
        """(component, bytes) of what is in memory."""
        return list(self.memory().residents)

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

    # -- making a model ready

    def _admit(self, stages: list[Stage], components: dict[str, Component], report: Report, stack: ExitStack) -> None:
        """Bring the model in: all at once where the budget holds it whole, else stage by stage while it runs."""
        budget, ours = self.budget(), frozenset(c.key for c in components.values() if c.users == 1)
        try:
            whole = plan([_merged(stages)], self.residency.residents(ours), budget, policy=greedy_dual_size)
        except DoesNotFit:
            self._run_in_stages(stages, components, ours, budget, report, stack)
        else:
            self._perform(whole.moves, report)

    def _run_in_stages(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        ours: frozenset[str],
        budget: int,
        report: Report,
        stack: ExitStack,
    ) -> None:
        def planned(first: int) -> Plan:
            order = [*stages[first:], *stages[:first]]
            return plan(order, self.residency.residents(ours), budget, policy=greedy_dual_size)

        def enter(name: str) -> None:
            number = next(n for n, stage in enumerate(stages) if stage.name == name)
            self.residency.stop_streaming()
            self._perform(planned(number).of_stage(name), lambda what, fraction: None)

        planned(0)  # refuse before anything has moved
        by_key = {component.key: self.residency.skeleton(component) for component in components.values()}
        members = {stage.name: [by_key[part.key] for part in stage.parts] for stage in stages}
        report("to be read stage by stage, as the budget asks", None)
        stack.enter_context(Staging(members, enter, self.device))

    def _perform(self, moves: tuple[Move, ...], report: Report) -> None:
        for number, move in enumerate(moves):
            verb = "letting go of" if move.kind == "evict" else "reading"
            report(f"{verb} {self.residency.components[move.key].source.name.replace('_', ' ')}", number / len(moves))
            self.residency.perform(move)

    def _check_finite(self, components: dict[str, Component], weights: dict[str, str]) -> None:
        """Refuse weights that hold NaN, once for each content: they load without a word and paint black."""
        for name, component in components.items():
            mark = f"finite:{weights[name]}"
            if component.state != "resident" or self.catalog.index.facts(mark, str(component.dtype)):
                continue
            bad = first_bad_tensor(component.module)
            if bad is not None:
                self.residency.perform(Move("evict", component.key, component.bytes, "", "not finite"))
                raise ModelError(f"Its {name.replace('_', ' ')} holds numbers that are not finite (NaN), in {bad}.")
            self.catalog.index.put_facts([(mark, str(component.dtype), {"finite": True})])

    def _ladder(self, loaded: Loaded, components: dict[str, Component], batch: int, run: str) -> Ladder:
        """What can be tried if this run is out of memory all the same, starting where the last of its kind ended."""
        denoiser = components.get(loaded.family.denoiser)

        def stream(stack: ExitStack) -> None:
            if denoiser is None or denoiser.state == "streamed":
                return
            self.residency.perform(Move("evict", denoiser.key, denoiser.bytes, "denoise", "to be streamed"))
            self.residency.perform(Move("stream", denoiser.key, 0, "denoise", "out of memory"))
            stack.callback(self._perform, (Move("load", denoiser.key, denoiser.bytes, "", "streamed no more"),), _quiet)
            stack.callback(self.residency.stop_streaming)

        def free() -> int:
            return sum(r.bytes for r in self.residency.residents() if not r.pinned)

        streamable = denoiser is not None and denoiser.users == 1 and denoiser.state == "resident"
        decoder = loaded.components.get(loaded.family.decoder or "")
        rungs = rungs_for(decoder, batch, free, self.unload, stream if streamable else None, self.device)
        return Ladder(rungs, self._experience.rungs(run), lambda taken: self._experience.remember_rungs(run, taken))


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
