"""What a kind of part is to the manager: components that it adds to a model's or replaces, and what it attaches to them.

Components of parts are planned, loaded, shared, streamed and evicted like the model's own. Attachments change modules
while these are in memory, and count in the plan with the bytes of their files. Does not depend on the kinds.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.core.parts import PartBase
from studio.core.registry import Registry
from studio.manager.disk.catalog import Catalog
from studio.manager.families import Family
from studio.manager.loading import Source


@dataclass(frozen=True)
class Context:
    """The model that parts are for. `own` are its own components that hold weights."""

    info: ModelInfo
    family: Family
    own: Mapping[str, Source]
    catalog: Catalog
    notes: list[str] = field(default_factory=list)  # on what parts did, for the recipe

    def note(self, sentence: str) -> None:
        """Once, however often parts are attached in a run."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def file(self, model: str, kind: str) -> Path:
        """Where a part's model is. Raises ModelError if none of that id and kind is here."""
        path = self.catalog.path(model)
        if path is None or not any(info.id == model and info.kind == kind for info in self.catalog.models()):
            title = kind.upper() if kind == "vae" else kind.replace("_", " ")
            raise ModelError(f"{self.info.title} is set to run with the {title} {model}, which is not here.")
        if not path.exists():
            raise ModelError(f"The file of {model} is no longer there.")
        return path


class Support:
    """One kind of part. A kind overrides what it needs; `part` is its value in the request."""

    streamable = True  # whether the denoiser's weights may be streamed while the part is attached
    encoders: tuple[
        str, ...
    ] = ()  # those of its components that are called before the denoiser, with the text encoders

    def components(self, part: Any, context: Context) -> dict[str, Source]:
        """Components by the names that pipelines have for them; one that the model has is replaced. Raises ModelError."""
        return {}

    def pipeline_arguments(self, parts: Sequence[Any], modules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What the pipeline's constructor is given for all parts of the kind; `modules` are each part's components in
        memory, by the names that `components` gave them. By default each component under its own name."""
        return {name: module for found in modules for name, module in found.items()}

    def attachments(self, part: Any, context: Context) -> dict[str, Path]:
        """Files that `attach` reads, by the name that a recipe has for each. Raises ModelError."""
        return {}

    def extra_elements(self, part: Any, context: Context) -> int:
        """How many numbers are in memory while it is attached, beside those of its files."""
        return 0

    def adapt(self, part: Any, context: Context, small: Mapping[str, Any]) -> dict[str, Any]:
        """Tokenizers, or others of the `small` components without weights, to use in place of the model's for this run.
        `attach` finds them among its modules. Raises ModelError."""
        return {}

    def attach(self, part: Any, context: Context, modules: Mapping[str, Any]) -> AbstractContextManager[Any]:
        """Attached to those of `modules` that it concerns, for the length of a `with`; afterwards they are as before, to
        the last bit. Called with what is in memory: all of the model's components, or those of the stage that runs."""
        return nullcontext()

    @contextmanager
    def attach_all(self, parts: Sequence[Any], context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        """The same for all parts of the kind; one after the other by default."""
        with ExitStack() as stack:
            for part in parts:
                stack.enter_context(self.attach(part, context, modules))
            yield


SUPPORTS: Registry[Support] = Registry("kind of part")


def register(kind: str, support: Support) -> Support:
    return SUPPORTS.add(kind, support)


class ModelParts:
    """A model's own components with what the parts of one request add. Parts that need nothing in memory are passed over."""

    def __init__(self, parts: Sequence[PartBase], context: Context):
        self._context, self.family, self.notes = context, context.family, context.notes
        self.sources = dict(context.own)  # component -> where it comes from
        self.owners = dict.fromkeys(context.own, context.info.id)  # component or attachment -> id of the model it is of
        self.attachments: dict[str, Path] = {}
        self._adapted: dict[str, Any] = {}
        self.extra_elements = 0  # beside those of the attachments' files
        # (part, its support, the support's name of each of its components -> the run's)
        self._used: list[tuple[PartBase, Support, dict[str, str]]] = []
        for part in parts:
            if part.kind in SUPPORTS:
                self._add(part, SUPPORTS.get(part.kind))

    def _add(self, part: PartBase, support: Support) -> None:
        names = {}
        for name, source in support.components(part, self._context).items():
            names[name] = self._free_name(name)
            self.sources[names[name]] = source
        found = support.attachments(part, self._context)
        self.attachments |= found
        self.extra_elements += support.extra_elements(part, self._context)
        self.owners |= dict.fromkeys([*names.values(), *found], getattr(part, "model", self._context.info.id))
        self._used.append((part, support, names))

    def _free_name(self, name: str) -> str:
        """A part replaces what the model has, but not what another part added: that one is "controlnet", this "controlnet_2"."""
        if not any(name in names for _, _, names in self._used):
            return name
        return next(f"{name}_{n}" for n in itertools.count(2) if f"{name}_{n}" not in self.sources)

    @property
    def streamable(self) -> bool:
        """Whether the denoiser's weights may be streamed."""
        return all(support.streamable for _, support, _ in self._used)

    @property
    def encoders(self) -> frozenset[str]:
        """Components that are called before the denoiser."""
        more = (run for _, support, names in self._used for name, run in names.items() if name in support.encoders)
        return frozenset((*self.family.encoders, *more))

    def pipeline_arguments(self, modules: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments of the pipeline from all parts; `modules` are the run's components."""
        out: dict[str, Any] = {}
        for support in dict.fromkeys(support for _, support, _ in self._used):
            mine = [(part, names) for part, other, names in self._used if other is support]
            found = [{name: modules[run] for name, run in names.items()} for _, names in mine]
            out |= support.pipeline_arguments([part for part, _ in mine], found)
        return out

    def adapt(self, small: Mapping[str, Any]) -> dict[str, Any]:
        """Components without weights that take the place of the model's for this run."""
        for part, support, _ in self._used:
            self._adapted |= support.adapt(part, self._context, {**small, **self._adapted})
        return self._adapted

    @contextmanager
    def attached(self, modules: Mapping[str, Any]) -> Iterator[None]:
        """All attachments on `modules`, for the length of a `with`. In an order of their own: sums of floating-point numbers
        depend on it, and the picture must not depend on the order in which parts were listed."""
        with ExitStack() as stack:
            used = sorted(self._used, key=lambda used: used[0].model_dump_json())  # which begins with the kind
            for support, own in itertools.groupby(used, key=lambda used: used[1]):
                parts = [part for part, _, _ in own]
                stack.enter_context(support.attach_all(parts, self._context, {**self._adapted, **modules}))
            yield
