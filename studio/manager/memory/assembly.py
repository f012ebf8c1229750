"""From a described model to its parts: the folder it is read from, its small parts loaded, its weighty ones keyed by content.

Decides what a model is made of and where that comes from; when weights come into memory is the manager's business.
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from studio.core.errors import ModelError
from studio.core.models import MODEL_KINDS, ModelInfo
from studio.core.settings import Settings
from studio.manager.conversion.imported import IMPORTED, Conversion, conversion_of
from studio.manager.conversion.imports import Imports, Report
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.companions import files_of
from studio.manager.disk.folders import CONFIGS, SKIPPED, components_of, read_json, weight_files
from studio.manager.families import Family, family_for
from studio.manager.loading import empty_component, load_autoencoder, load_component, pipeline_class
from studio.manager.memory.file_state import FileState
from studio.manager.memory.loaded import Loaded
from studio.manager.memory.residency import Component, Residency, Source

PRIVATE = ".unnoise"  # our own folder below the outputs
KEPT_PARTS = 32


class Assembler:
    """Finds the parts of models of one catalog for one residency."""

    def __init__(self, settings: Settings, catalog: Catalog, residency: Residency, imports: Imports):
        self._catalog, self._residency, self._imports = catalog, residency, imports
        self.imported = settings.outputs / PRIVATE / IMPORTED
        self._device = residency.device
        self._small: dict[str, Any] = {}  # tokenizers and the like, by folder and change

    def folder(self, info: ModelInfo, dtype: str, report: Report) -> Path:
        """The diffusers folder of a model: its own, or the one that its single file is converted to, once for a dtype."""
        path = self._usable(info)
        return path if path.is_dir() else self._imports.folder(self._conversion(info, path, dtype), report)

    def folder_at_hand(self, info: ModelInfo, dtype: str) -> Path | None:
        """What `folder` would give at once; None if there is something to convert first."""
        path = self._usable(info)
        if path.is_dir():
            return path
        conversion = self._conversion(info, path, dtype)
        return conversion.target if conversion.complete else None

    def conversion(self, info: ModelInfo, dtype: str) -> Conversion:
        """What `folder` would have converted; raises ModelError where there is nothing to convert."""
        path = self._usable(info)
        if path.is_dir():
            raise ModelError(f"{info.title} is a folder already, which is used as it stands.")
        return self._conversion(info, path, dtype)

    def beside(self, info: ModelInfo) -> tuple[Path, ...]:
        """The files of other models that complete a single file."""
        return files_of(self._catalog.beside(info))

    def _conversion(self, info: ModelInfo, path: Path, dtype: str) -> Conversion:
        return conversion_of(info, path, dtype, self.imported, self.beside(info))

    def _usable(self, info: ModelInfo) -> Path:
        path = self._catalog.path(info.id)
        if path is None or not path.exists():
            raise ModelError(f"{info.title} is no longer in the models folders.")
        if info.problem or not (info.kind in MODEL_KINDS or info.capabilities.tasks):
            raise ModelError(f"{info.title} cannot be used: {info.problem or f'it is of kind {info.kind}'}")
        return path

    def assemble(
        self, info: ModelInfo, folder: Path, dtype: str, channels_last: bool
    ) -> tuple[Loaded, dict[str, Component]]:
        """The model with its small parts loaded, and the components that hold weights, which may not be in memory yet."""
        index = read_json(folder / "model_index.json")
        pipeline_class(str(index.get("_class_name")))  # some bring classes of their components with them
        family = family_for(info)
        absent = _absent(family)
        named = {name: value for name, value in components_of(index).items() if name not in absent}
        parts: dict[str, Any] = {n: None for n, value in index.items() if value == [None, None] or n in absent}
        weights: dict[str, str] = {}
        components: dict[str, Component] = {}
        other = self._catalog.other_vae(info)
        for name, (library, class_name) in named.items():
            files, variant = weight_files(folder / name)
            if other and name == "vae":
                files = [other]
            if not files:
                parts[name] = self._small_part(folder, name, library, class_name)
                continue
            weights[name] = self._weights_hash(files)
            source = _source(folder, name, library, class_name, torch_dtype(dtype), variant, files)
            if other and name == "vae":
                source = replace(source, load=partial(load_autoencoder, other, folder, class_name, torch_dtype(dtype)))
            key = _key(folder, name, class_name, dtype, channels_last, weights[name])
            size = sum(file.stat().st_size for file in files)
            components[name] = self._residency.want(key, source, torch_dtype(dtype), channels_last, size)
        loaded = Loaded(
            info=info,
            family=family,
            components=parts,
            dtype=torch_dtype(dtype),
            device=self._device,
            weights=weights,
            folder=folder,
            arguments=_plain_arguments(index),
        )
        return loaded, components

    def known_keys(self, info: ModelInfo, dtype: str, channels_last: bool) -> frozenset[str]:
        """Keys of a folder's components, as far as their weights were hashed before: nothing large is read for it."""
        folder = self.folder_at_hand(info, dtype)
        if folder is None:
            return frozenset()
        other, keys, absent = self._catalog.other_vae(info), set(), _absent(family_for(info))
        for name, (_, class_name) in components_of(read_json(folder / "model_index.json")).items():
            if name in absent:
                continue
            files = [other] if other and name == "vae" else weight_files(folder / name)[0]
            if files and all(map(self._catalog.index.known_hash, files)):
                keys.add(_key(folder, name, class_name, dtype, channels_last, self._weights_hash(files)))
        return frozenset(keys)

    def _small_part(self, folder: Path, name: str, library: str, class_name: str) -> Any:
        """A tokenizer, scheduler or processor; kept, for reading a vocabulary takes a while."""
        files = sorted((file.name, FileState.of(file).state) for file in (folder / name).iterdir() if file.is_file())
        key = f"{folder / name}:{library}.{class_name}:{files}"
        if key not in self._small:
            self._small = dict(list(self._small.items())[1 - KEPT_PARTS :]) | {
                key: load_component(folder, name, library, class_name)
            }
        return self._small[key]

    def _weights_hash(self, files: list[Path]) -> str:
        """SHA-256 of the one safetensors file, or of the list of the shards' hashes."""
        hashes = [self._catalog.index.hash(file) for file in files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _absent(family: Family) -> frozenset[str]:
    """Components that are never loaded for a model of the family, whether or not its folder has them."""
    return SKIPPED | (family.enlarging.not_needed if family.enlarging else frozenset())


def torch_dtype(name: str) -> torch.dtype:
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _source(
    folder: Path, name: str, library: str, class_name: str, dtype: torch.dtype, variant: str | None, files: list[Path]
) -> Source:
    return Source(
        name=name,
        files=tuple(files),
        load=lambda: load_component(folder, name, library, class_name, dtype, variant),
        empty=lambda: empty_component(folder, name, library, class_name, dtype),
    )


def _key(folder: Path, name: str, class_name: str, dtype: str, channels_last: bool, weights: str) -> str:
    """What makes two components one: equal keys, equal module."""
    return ":".join([name, class_name, dtype, "nhwc" * channels_last, _content(folder / name, weights)])


def _content(folder: Path, weights: str) -> str:
    """A hash of weights and configuration: two autoencoders may differ in their scaling factor alone."""
    digest = hashlib.sha256(weights.encode())
    for file in CONFIGS:
        if (folder / file).is_file():
            kept = {k: v for k, v in read_json(folder / file).items() if not k.startswith("_")}
            digest.update(repr(sorted(kept.items(), key=lambda row: row[0])).encode())
    return digest.hexdigest()


def _plain_arguments(index: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments that are values rather than components: requires_safety_checker, id2label, ..."""
    plain = {k: v for k, v in index.items() if not k.startswith("_") and not _names_part(v)}
    return plain | ({"requires_safety_checker": False} if "safety_checker" in index else {})


def _names_part(value: Any) -> bool:
    """Whether it is [library, class], or [null, null] for a part that is left out; other lists are values."""
    return isinstance(value, list) and len(value) == 2 and all(part is None or isinstance(part, str) for part in value)
