"""From a described model and the parts of a request to components: small ones loaded, those with weights keyed by content.

Decides what a run is made of and where that comes from, not when weights come into memory.
"""

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.core.errors import ModelError
from studio.core.models import MODEL_KINDS, ModelInfo
from studio.core.parts import PartBase
from studio.core.settings import Settings
from studio.manager.conversion.converted_folders import IMPORTED, Conversion, conversion_of
from studio.manager.conversion.imports import Imports, Report
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.companions import files_of
from studio.manager.disk.folder_parts import components_of
from studio.manager.disk.safe_files import read_json, stamp
from studio.manager.families import Family, family_for
from studio.manager.loading import Source, absent_components, folder_sources, load_component, pipeline_class
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
        path = self._usable(info)
        folder = path if path.is_dir() else self._imports.folder(self._conversion(info, path, dtype), report)
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
        except OSError as error:
            raise ModelError(
                f"{info.title} cannot be read any more: {error.strerror or 'a file is missing'}."
            ) from None
        self._check_numbers(found, hashes, dtype, report)
        return Assembled(info, found.family, folder, dtype, found, components, hashes, small, _plain_arguments(index))

    def folder_at_hand(self, info: ModelInfo, dtype: str) -> Path | None:
        """The model's diffusers folder; None if there is something to convert first."""
        path = self._usable(info)
        if path.is_dir():
            return path
        conversion = self._conversion(info, path, dtype)
        return conversion.target if conversion.complete else None

    def conversion(self, info: ModelInfo, dtype: str) -> Conversion:
        """The conversion of a single file; raises ModelError where there is nothing to convert."""
        path = self._usable(info)
        if path.is_dir():
            raise ModelError(f"{info.title} is a folder already, which is used as it is.")
        return self._conversion(info, path, dtype)

    def beside(self, info: ModelInfo) -> tuple[Path, ...]:
        """The files of other models that complete a single file."""
        return files_of(self._catalog.beside(info))

    def known_keys(self, info: ModelInfo, dtype: str, channels_last: bool, parts: Sequence[PartBase]) -> frozenset[str]:
        """Keys of a run's components, as far as their weights were hashed before: nothing large is read for it."""
        folder = self.folder_at_hand(info, dtype)
        if folder is None:
            return frozenset()
        return frozenset(
            _key(source, dtype, channels_last, self._weights_hash(source.files))
            for source in self._parts(info, folder, parts).sources.values()
            if all(map(self._catalog.index.known_hash, source.files))
        )

    def _conversion(self, info: ModelInfo, path: Path, dtype: str) -> Conversion:
        return conversion_of(info, path, dtype, self.imported, self.beside(info))

    def _usable(self, info: ModelInfo) -> Path:
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
                loaded = load_component(folder, name, library, class_name)
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
                raise ModelError(
                    f"Its {title} holds numbers too large for {dtype}, in {known['bad']}. Try fp32 or bf16."
                )
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
    """Constructor arguments that are values rather than components: requires_safety_checker, id2label, ..."""
    plain = {k: v for k, v in index.items() if not k.startswith("_") and not _names_component(v)}
    return plain | ({"requires_safety_checker": False} if "safety_checker" in index else {})


def _names_component(value: Any) -> bool:
    """Whether it is [library, class], or [null, null] for a component that is left out; other lists are values."""
    return isinstance(value, list) and len(value) == 2 and all(part is None or isinstance(part, str) for part in value)
