"""What a run is made of: from a described model and the parts of a request to components, and from these to pipelines.

Small components are loaded here, those with weights are keyed by content. Does not decide when weights come into memory.
"""

import copy
import hashlib
import inspect
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from studio.core.errors import InvalidRequest, ModelError
from studio.core.models import MODEL_KINDS, ModelInfo
from studio.core.parts import PartBase
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.manager.conversion.converted_folders import IMPORTED, Conversion, conversion_of
from studio.manager.conversion.imports import Imports, Report
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.folder_parts import components_of
from studio.manager.disk.safe_files import read_json, stamp
from studio.manager.families import Call, Family, family_for
from studio.manager.loading import Source, absent_components, folder_sources, load_folder, pipeline_class
from studio.manager.memory.fallbacks import Fallbacks
from studio.manager.memory.residency import Component, Residency
from studio.manager.memory.weights import LARGE, first_unsound
from studio.manager.parts import Context, ModelParts

PRIVATE = ".unnoise"  # our own folder below the outputs
CHECK = "2"  # of the facts that say what was found: raise it when numbers are checked differently
KEPT_PARTS = 32  # tokenizers, schedulers and processors
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Assembled:
    """What a run is made of. `components` hold weights, which may not be in memory yet; `small` are loaded."""

    info: ModelInfo
    family: Family
    folder: Path
    dtype: str  # fp32, bf16, fp16
    parts: ModelParts
    components: dict[str, Component]
    hashes: dict[str, str]  # component or attachment -> sha256 of its weights
    small: dict[str, Any]  # tokenizers, schedulers, processors; None for what the model goes without
    arguments: dict[str, Any]  # other constructor arguments from model_index.json

    def modules(self, keys: Container[str] | None = None) -> dict[str, Any]:
        """Component -> module, of those with these keys; of all by default."""
        return {name: each.module for name, each in self.components.items() if keys is None or each.key in keys}


class Assembler:
    """Finds the components of one catalog's models for one residency."""

    def __init__(self, settings: Settings, catalog: Catalog, residency: Residency, imports: Imports):
        self._catalog, self._residency, self._imports = catalog, residency, imports
        self.imported = settings.outputs / PRIVATE / IMPORTED
        self._small: dict[str, Any] = {}  # by folder and state

    def assemble(
        self, info: ModelInfo, dtype: str, channels_last: bool, parts: Sequence[PartBase], report: Report
    ) -> Assembled:
        """Converts a single file first, once for a dtype. Raises ModelError, StorageError."""
        conversion = self.conversion(info, dtype)
        folder = self._imports.folder(conversion, report) if conversion else self._path(info)
        try:
            index = read_json(folder / "model_index.json")
            pipeline_class(str(index.get("_class_name")))  # some bring classes of their components with them
            found = self._parts(info, folder, parts)
            hashes = {name: self._weights_hash(source.files) for name, source in found.sources.items()}
            components = {
                name: self._residency.get(
                    _key(source, dtype, channels_last, hashes[name]),
                    source,
                    DTYPES[dtype],
                    channels_last,
                    sum(file.stat().st_size for file in source.files),
                )
                for name, source in found.sources.items()
            }
            hashes |= {name: self._weights_hash([file]) for name, file in found.attachments.items()}
            small = self._small_components(folder, index, found)
            small |= found.adapt(small)
        except OSError as error:
            raise ModelError(
                f"{info.title} cannot be read any more: {error.strerror or 'a file is missing'}."
            ) from None
        self._check_numbers(found, hashes, dtype, report)
        return Assembled(info, found.family, folder, dtype, found, components, hashes, small, _plain_arguments(index))

    def conversion(self, info: ModelInfo, dtype: str) -> Conversion | None:
        """That of a single file; None for a folder, which is used as it is. Raises ModelError."""
        path = self._path(info)
        beside = self._catalog.beside(info)
        return None if path.is_dir() else conversion_of(info, path, dtype, self.imported, beside)

    def known_keys(self, info: ModelInfo, dtype: str, channels_last: bool, parts: Sequence[PartBase]) -> frozenset[str]:
        """Keys of a run's components, as far as their weights were hashed before: nothing large is read for it."""
        conversion = self.conversion(info, dtype)
        if conversion is not None and not conversion.complete:
            return frozenset()
        folder = conversion.target if conversion else self._path(info)
        return frozenset(
            _key(source, dtype, channels_last, self._weights_hash(source.files))
            for source in self._parts(info, folder, parts).sources.values()
            if all(map(self._catalog.index.known_hash, source.files))
        )

    def _path(self, info: ModelInfo) -> Path:
        path = self._catalog.path(info.id)
        if path is None or not path.exists():
            raise ModelError(f"{info.title} is no longer in the models folders.")
        if info.problem or not (info.kind in MODEL_KINDS or info.capabilities.tasks):
            raise ModelError(f"{info.title} cannot be used: {info.problem or f'it is of kind {info.kind}'}")
        return path

    def _parts(self, info: ModelInfo, folder: Path, parts: Sequence[PartBase]) -> ModelParts:
        family = family_for(info)
        return ModelParts(parts, Context(info, family, folder_sources(folder, family), self._catalog))

    def _small_components(self, folder: Path, index: dict[str, Any], parts: ModelParts) -> dict[str, Any]:
        """Tokenizers, schedulers and processors, kept because reading a vocabulary takes a while; None for what is absent."""
        absent = absent_components(parts.family)
        out: dict[str, Any] = {name: None for name, value in index.items() if value == [None, None] or name in absent}
        for name, (library, class_name) in components_of(index).items():
            if name in absent or name in parts.sources:
                continue
            files = sorted(stamp(file) for file in (folder / name).iterdir() if file.is_file())
            key = f"{folder / name}:{library}.{class_name}:{files}"
            if key not in self._small:
                loaded = load_folder(folder / name, library, class_name)
                self._small = dict(list(self._small.items())[1 - KEPT_PARTS :]) | {key: loaded}
            out[name] = self._small[key]
        return out

    def _check_numbers(self, parts: ModelParts, hashes: dict[str, str], dtype: str, report: Report) -> None:
        """Refuse weights that are no numbers. Each content is read once for a dtype, and remembered; the model that it belongs
        to is listed with the problem from then on. Raises ModelError."""
        files = {name: source.files for name, source in parts.sources.items()}
        files |= {name: (file,) for name, file in parts.attachments.items()}
        for name, own in files.items():
            mark, title = f"sound:{hashes[name]}:{dtype}", name.replace("_", " ")
            known = self._catalog.index.facts(mark, CHECK)
            if known is None:
                report(f"checking the numbers of the {title}", None)
                tensor, what = first_unsound(own, DTYPES[dtype]) or (None, "")
                known = {"bad": tensor, "what": what}
                self._catalog.index.put_facts([(mark, CHECK, known)])
            if known["bad"] is None:
                continue
            if known["what"] == LARGE:
                where = f"in {known['bad']}. Try fp32 or bf16"
                raise ModelError(f"Its {title} holds numbers too large for {dtype}, {where}.")
            problem = f"Its {title} holds numbers that are not finite ({known['what']}), in {known['bad']}."
            self._catalog.remember_problem(parts.owners[name], problem)
            raise ModelError(problem)

    def _weights_hash(self, files: Iterable[Path]) -> str:
        """SHA-256 of the one safetensors file, or of the list of the shards' hashes."""
        hashes = [self._catalog.index.hash(file) for file in files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _key(source: Source, dtype: str, channels_last: bool, weights: str) -> str:
    """What makes two components one: equal keys, equal module. Two autoencoders may differ in their scaling factor alone."""
    config = sorted((key, value) for key, value in source.config.items() if not key.startswith("_"))
    content = hashlib.sha256(f"{weights}{config!r}".encode()).hexdigest()
    return ":".join([source.name, source.class_name, dtype, "nhwc" * channels_last, content])


def _plain_arguments(index: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments that are values, not components ([library, class]): requires_safety_checker, id2label, ..."""

    def names_component(value: Any) -> bool:
        return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str | None) for part in value)

    plain = {k: v for k, v in index.items() if not k.startswith("_") and not names_component(v)}
    return plain | ({"requires_safety_checker": False} if "safety_checker" in index else {})


# -- what is lent


@dataclass(frozen=True)
class Loaded:
    """A model that is in memory, for as long as its lease lasts."""

    info: ModelInfo
    family: Family
    components: dict[str, Any]  # name -> module, tokenizer, scheduler, or None
    dtype: torch.dtype
    device: torch.device
    weights: dict[str, str]  # component -> sha256 of its weights
    folder: Path
    fallbacks: Fallbacks = field(default_factory=Fallbacks)  # for when memory runs out
    attention: str = "sdpa"  # the kernel that attends; chosen per model, never for the process
    whole: bool = True  # all components are in memory at once; else they come and go stage by stage
    restart: Callable[[], None] = lambda: None  # called when a run begins, where components come and go
    arguments: dict[str, Any] = field(default_factory=dict)  # other constructor arguments from model_index.json
    notes: list[str] = field(default_factory=list)  # what parts could do in part only; grows while they are attached

    def call(self, request: GenerationRequest) -> Call:
        """How its family does the request's task, with the request's parts. Raises InvalidRequest where it cannot."""
        calls = self.family.calls(self.info.variant, self.info.pipeline)
        if request.task.kind not in calls:
            does = ", ".join(task.replace("_", " ") for task in calls)
            raise InvalidRequest(
                f"{self.info.title} cannot do {request.task.title.lower()}; it does: {does}.", field="model"
            )
        return calls[request.task.kind].having(kind for part in request.parts for kind in (part.call_kind, part.kind))

    def pipeline(self, call: Call | None = None) -> Any:
        """A fresh shell of the call's class, or of the first task's, over the shared modules, with schedulers of its own."""
        self.restart()
        call = call or next(iter(self.family.calls(self.info.variant, self.info.pipeline).values()))
        cls = pipeline_class(call.pipeline)
        if not self.whole:  # modules that are partly without data would name no device, or a wrong one
            device = self.device  # all that the class may hold: it is freed late
            cls = type(cls.__name__, (cls,), {"device": property(lambda _: device), "__module__": cls.__module__})
        known = inspect.signature(cls.__init__).parameters
        parts = {key: value for key, value in (self.arguments | self.components).items() if key in known}
        parts |= {name: copy.copy(part) for name, part in parts.items() if name.endswith("scheduler")}
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def set_attention(denoiser: Any, kernel: str, device: torch.device) -> str:
    """Set the kernel on this module's own processors, and return which attends: PyTorch's (SDPA) where it has no choice.

    `set_attention_backend` is never called: it changes the choice for the whole process, and so for every model loaded
    later. Raises InvalidRequest where the kernel does not run: diffusers tries xformers, whose package installs anywhere.
    """
    if kernel == "xformers":
        try:
            if device.type != "cuda":  # it has no operators for others, and importing it says so in several lines
                raise NotImplementedError
            if hasattr(denoiser, "enable_xformers_memory_efficient_attention"):
                denoiser.enable_xformers_memory_efficient_attention()
                return kernel
        except (ImportError, NotImplementedError, RuntimeError, ValueError, OSError):
            raise InvalidRequest(f"xformers does not run on {device}; start with --attention sdpa.") from None
    if getattr(getattr(denoiser, "config", None), "encoder_hid_dim_type", None) == "ip_image_proj":
        return "sdpa"  # an IP-Adapter attends by processors of its own, which another kernel would take the place of
    if kernel == "sliced" and hasattr(denoiser, "set_attention_slice"):
        denoiser.set_attention_slice("auto")
        return kernel
    return "sdpa"
