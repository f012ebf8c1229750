"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease, under a budget.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the
components. Which moves to make is the planner's business, how they are made the residency's.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from studio import compat
from studio.core.desk import MemoryView
from studio.core.errors import InvalidRequest, ModelError
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.attention import set_attention
from studio.manager.catalog import Catalog, file_signature
from studio.manager.estimate import Shape, Weights, folder_weights, stages_for
from studio.manager.families import Family, family_for
from studio.manager.folders import CONFIGS, SKIPPED, components_of, read_json, weight_files
from studio.manager.importing import import_checkpoint
from studio.manager.ladder import Ladder, rungs_for
from studio.manager.ledger import Ledger
from studio.manager.limits import PeakMeter, budget_for
from studio.manager.loading import empty_component, first_bad_tensor, load_component, pipeline_class
from studio.manager.planner import DoesNotFit, Move, Part, Plan, Stage, greedy_dual_size, plan
from studio.manager.residency import Component, Residency, Source
from studio.manager.staging import Staging

PRIVATE = ".unnoise"  # our own folder below the outputs
LEARNED_MARGIN = 1.1  # a measured peak is met again, more or less
Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Loaded:
    """A model that is in memory, for as long as its lease lasts."""

    info: ModelInfo
    family: Family
    components: dict[str, Any]  # name -> module, tokenizer, scheduler, or None
    dtype: Any  # torch.dtype
    device: Any  # torch.device
    weights: dict[str, str]  # component -> sha256 of its weights
    folder: Path
    ladder: Ladder = field(default_factory=lambda: Ladder((), 0, lambda taken: None))  # for when memory runs out
    attention: str = "sdpa"  # the kernel that attends; chosen per model, never for the process
    whole: bool = True  # all components are in memory at once; else they come and go stage by stage
    arguments: dict[str, Any] = field(default_factory=dict)  # other constructor arguments from model_index.json

    def pipeline(self, task: str = "text_to_image") -> Any:
        """A fresh shell that does `task`, over the shared modules, with a scheduler instance of its own."""
        cls = pipeline_class(self._class_for(task))
        known = inspect.signature(cls.__init__).parameters
        parts = {key: value for key, value in (self.arguments | self.components).items() if key in known}
        scheduler = self.components.get("scheduler")
        if scheduler is not None:
            parts["scheduler"] = type(scheduler).from_config(scheduler.config)
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _class_for(self, task: str) -> str:
        """The pipeline class for a task; a model's first task serves for text_to_image, so that DDPM needs no other word."""
        tasks = self.family.pipelines
        first = next(iter(tasks))
        wish = first if task == "text_to_image" and task not in tasks else task
        if wish not in tasks or wish not in self.info.tasks:
            raise InvalidRequest(
                f"{self.info.title} cannot do {task.replace('_', ' ')}; it does: {', '.join(self.info.tasks)}.",
                field="model",
            )
        named = self.info.pipeline
        return named if wish == first and named in self.family.alternatives and named else tasks[wish]


class Manager:
    """Owns every module in this process. One device, one run at a time."""

    def __init__(self, settings: Settings, catalog: Catalog | None = None):
        compat.prepare()
        self.settings = settings
        self._private = settings.outputs / PRIVATE
        self.catalog = catalog or Catalog(settings.models, self._private / "catalog.db")
        self.device = device_of(settings)
        self.ledger = Ledger(self._private / "ledger.jsonl")
        self.residency = Residency(self.device, self.ledger)
        self._budget = settings.memory_budget
        self._parts: dict[str, frozenset[str]] = {}  # model id -> keys of its components, of models leased so far
        self._small: dict[str, Any] = {}  # tokenizers and the like, by folder and change

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
        folder = self._folder(info, dtype, report)
        loaded, components = self._assemble(info, folder, dtype, channels_last)
        shape = shape_of(info, request)
        facts = folder_weights(folder)
        keys = {name: component.key for name, component in components.items()}
        ran = self._ran_before(info, facts, loaded.family, shape, dtype)
        stages = stages_for(loaded.family, facts, shape, dtype, self.device.type, keys, ran)
        for component in components.values():
            component.users += 1
        try:
            with ExitStack() as stack:
                self._admit(stages, components, report, stack)
                warm = all(component.warm for component in components.values())
                loaded.components.update({name: component.module for name, component in components.items()})
                loaded = replace(
                    loaded,
                    ladder=self._ladder(loaded, components, facts, shape, dtype),
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
                    if warm:  # else the peak holds weights that were touched for the first time
                        self._learn(info, facts, loaded.family, shape, dtype, meter.read())
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
        return budget_for(self.device, self._budget, self.residency.held())

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

    def _folder(self, info: ModelInfo, dtype: str, report: Report) -> Path:
        """The diffusers folder of a model: its own, or the one that its single file is converted to, once for a dtype."""
        path = self.catalog.path(info.id)
        if path is None or not path.exists():
            raise ModelError(f"{info.title} is no longer in the models folders.")
        if info.problem or info.kind not in ("checkpoint", "diffusers"):
            raise ModelError(f"{info.title} cannot be used: {info.problem or f'it is of kind {info.kind}'}")
        if path.is_dir():
            return path
        blueprint = family_for(info, "unet").blueprint
        if blueprint is None:
            raise ModelError(f"{info.title} cannot be used: single files of its family cannot be completed here.")
        stamp = hashlib.sha256(f"{file_signature(path)} {dtype} {blueprint}".encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.-]+", "_", path.stem)[:60]
        target = self._private / "imported" / f"{name}-{stamp}"
        return import_checkpoint(path, info, blueprint, target, torch_dtype(dtype), self.settings.models, report)

    def _assemble(
        self, info: ModelInfo, folder: Path, dtype: str, channels_last: bool
    ) -> tuple[Loaded, dict[str, Component]]:
        """The model with its small parts loaded, and the components that hold weights, which may not be in memory yet."""
        index = read_json(folder / "model_index.json")
        named = {name: value for name, value in components_of(index).items() if name not in SKIPPED}
        parts: dict[str, Any] = {n: None for n, value in index.items() if value == [None, None] or n in SKIPPED}
        weights: dict[str, str] = {}
        components: dict[str, Component] = {}
        for name, (library, class_name) in named.items():
            files, variant = weight_files(folder / name)
            if not files:
                parts[name] = self._small_part(folder, name, library, class_name)
                continue
            weights[name] = self._weights_hash(files)
            source = _source(folder, name, library, class_name, torch_dtype(dtype), variant, files)
            key = ":".join([name, class_name, dtype, "nhwc" * channels_last, _content(folder / name, weights[name])])
            size = sum(file.stat().st_size for file in files)
            components[name] = self.residency.want(key, source, torch_dtype(dtype), channels_last, size)
        self._parts[info.id] = frozenset(component.key for component in components.values())
        loaded = Loaded(
            info=info,
            family=family_for(info, "unet" if "unet" in named else "transformer"),
            components=parts,
            dtype=torch_dtype(dtype),
            device=self.device,
            weights=weights,
            folder=folder,
            arguments=_plain_arguments(index),
        )
        return loaded, components

    def _small_part(self, folder: Path, name: str, library: str, class_name: str) -> Any:
        """A tokenizer, scheduler or processor; kept, for reading a vocabulary takes a while."""
        stamp = max((file.stat().st_mtime_ns for file in (folder / name).iterdir()), default=0)
        key = f"{folder / name}:{stamp}"
        if key not in self._small:
            self._small = dict(list(self._small.items())[-31:]) | {
                key: load_component(folder, name, library, class_name)
            }
        return self._small[key]

    def _weights_hash(self, files: list[Path]) -> str:
        """SHA-256 of the one safetensors file, or of the list of the shards' hashes."""
        hashes = [self.catalog.index.hash(file) for file in files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def _ladder(
        self, loaded: Loaded, components: dict[str, Component], facts: dict[str, Weights], shape: Shape, dtype: str
    ) -> Ladder:
        """What can be tried if this run is out of memory all the same, starting where the shape's last run ended."""
        key = _shape_key(facts, loaded.family, shape, dtype).replace("working:", "rungs:")
        known = self.catalog.index.facts(key, self.device.type)
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
        rungs = rungs_for(decoder, shape.batch, free, self.unload, stream if streamable else None, self.device)
        return Ladder(
            rungs,
            known["taken"] if known else 0,
            lambda taken: self.catalog.index.put_facts([(key, self.device.type, {"taken": taken})]),
        )

    # -- working memory, learned

    def _ran_before(
        self, info: ModelInfo, facts: dict[str, Weights], family: Family, shape: Shape, dtype: str
    ) -> int | None:
        known = self.catalog.index.facts(_shape_key(facts, family, shape, dtype), self.device.type)
        return int(known["bytes"] * LEARNED_MARGIN) if known else None

    def _learn(
        self, info: ModelInfo, facts: dict[str, Weights], family: Family, shape: Shape, dtype: str, peak: int | None
    ) -> None:
        """Keep the most that a run of this shape took beside its weights."""
        if peak is None:
            return
        key = _shape_key(facts, family, shape, dtype)
        known = self.catalog.index.facts(key, self.device.type)
        most = max(peak, known["bytes"] if known else 0)
        self.catalog.index.put_facts([(key, self.device.type, {"bytes": most})])
        rough = max(s.activation for s in stages_for(family, facts, shape, dtype, self.device.type))
        self.ledger.write("measure", component=info.title, key=key, predicted=rough, measured=peak)


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


def torch_dtype(name: str) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _merged(stages: list[Stage]) -> Stage:
    """All stages' components at once, none streamed, with the working memory of the hungriest."""
    parts = {part.key: part for stage in stages for part in stage.parts}
    whole = tuple(Part(part.key, part.bytes) for part in parts.values())
    return Stage("run", whole, max(stage.activation for stage in stages))


def _source(
    folder: Path, name: str, library: str, class_name: str, dtype: torch.dtype, variant: str | None, files: list[Path]
) -> Source:
    return Source(
        name=name,
        files=tuple(files),
        load=lambda: load_component(folder, name, library, class_name, dtype, variant),
        empty=lambda: empty_component(folder, name, library, class_name, dtype),
    )


def _content(folder: Path, weights: str) -> str:
    """A hash of weights and configuration: two autoencoders may differ in their scaling factor alone."""
    digest = hashlib.sha256(weights.encode())
    for file in CONFIGS:
        if (folder / file).is_file():
            kept = {k: v for k, v in read_json(folder / file).items() if not k.startswith("_")}
            digest.update(repr(sorted(kept.items(), key=lambda row: row[0])).encode())
    return digest.hexdigest()


def _shape_key(facts: dict[str, Weights], family: Family, shape: Shape, dtype: str) -> str:
    """Models of one architecture share what was learned: family and sizes, not contents."""
    sizes = "-".join(f"{name}{w.elements}" for name, w in sorted(facts.items()))
    guided = "guided" if shape.guided else "plain"
    return f"working:{family.name}:{sizes}:{shape.width}x{shape.height}x{shape.batch}:{guided}:{dtype}"


def _plain_arguments(index: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments that are values rather than components: requires_safety_checker, id2label, ..."""
    plain = {k: v for k, v in index.items() if not k.startswith("_") and not isinstance(v, list)}
    return plain | ({"requires_safety_checker": False} if "safety_checker" in index else {})
