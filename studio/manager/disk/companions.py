"""Where the components that a checkpoint does not carry lie: in other files of the models folders, or in a folder of its family.

ComfyUI keeps a denoiser in diffusion_models/ and its text encoders and autoencoder beside; a diffusers folder of the
family may lend its own, even one that is not whole. Nothing is fetched: what is nowhere is named, with the folder that
has it. No torch.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.disk.folder_parts import components_of, weight_files
from studio.manager.disk.headers import read_header
from studio.manager.disk.safe_files import read_json
from studio.manager.disk.tokenizers import clip_vocabulary, find_t5_tokenizer
from studio.manager.disk.walk import shards_of
from studio.manager.families import Blueprint, Family, family_for
from studio.manager.families.blueprints import Companion

WRAPPED = "text_encoder."  # before the names in some files of a text encoder
DENOISERS = ("unet", "transformer")
TITLES = {
    "clip_l": "the text encoder CLIP ViT-L",
    "clip_g": "the text encoder CLIP ViT-bigG",
    "t5xxl": "the text encoder T5-XXL",
    "vae": "its VAE",
}


@dataclass(frozen=True)
class Origin:
    """The files that hold one component, the prefix of its tensors' names there, and its folder if it is one of diffusers'."""

    files: tuple[Path, ...]
    prefix: str = ""
    folder: Path | None = None


def files_of(origins: Mapping[str, Origin]) -> tuple[Path, ...]:
    """The files of other models that take part in one: weights, and the configurations of those that folders lend."""
    lent = {origin.folder / "config.json" for origin in origins.values() if origin.folder}
    return tuple(sorted(lent.union(*(origin.files for origin in origins.values()))))


def weighty(blueprint: Blueprint) -> list[str]:
    """The components that hold weights, the denoiser first."""
    names = [name for name in blueprint.parts if name in blueprint.prefixes]
    return sorted(names, key=lambda name: name not in DENOISERS)


def carried(blueprint: Blueprint, names: Iterable[str]) -> dict[str, str]:
    """component -> prefix, of the components whose tensors are among `names`; a bare denoiser has the empty prefix."""
    names = list(names)
    out = {}
    for component in weighty(blueprint):
        prefixes = (p for p in blueprint.prefixes[component] if any(name.startswith(p) for name in names))
        prefix = next(prefixes, "" if component in DENOISERS else None)
        if prefix is not None:
            out[component] = prefix
    return out


def needs_of(blueprint: Blueprint, names: Iterable[str]) -> tuple[str, ...]:
    """The components that must come from elsewhere."""
    has = carried(blueprint, names)
    return tuple(name for name in weighty(blueprint) if name not in has)


def t5_tokenizers(blueprint: Blueprint, absent: set[str]) -> list[str]:
    """The T5 tokenizers that the pipeline needs: none where it works without its T5."""
    encoders = {name for name, part in blueprint.parts.items() if part[1] == "T5EncoderModel"}
    if encoders <= absent & blueprint.optional:
        return []
    return [name for name, part in blueprint.parts.items() if part[1] == "T5Tokenizer"]


class Companions:
    """All that lies in the models folders, asked for what a checkpoint lacks."""

    def __init__(self, models: Iterable[tuple[ModelInfo, Path]], folders: tuple[Path, ...]):
        self._models = list(models)
        self._folders = folders
        self._found: dict[tuple[int, str, str], Origin | None] = {}  # of each blueprint's components, once asked for

    def origins(self, info: ModelInfo) -> dict[str, Origin]:
        """component -> where it lies, of those that a single file needs and that are here: a file, else a folder's own."""
        family = family_for(info) if info.needs else None
        if family is None or family.blueprint is None:
            return {}
        found = {}
        for name in info.needs:
            key = (id(family.blueprint), family.name, name)
            if key not in self._found:
                file = self._file(family.blueprint.companions.get(name))
                self._found[key] = file or self._lent(family, family.blueprint, name)
            if origin := self._found[key]:
                found[name] = origin
        return found

    def _file(self, companion: Companion | None) -> Origin | None:
        """The largest file that fits: the one least quantised."""
        fitting = [
            (info.bytes, path)
            for info, path in (self._models if companion else ())
            if companion is not None
            and info.problem is None
            and (info.kind, info.variant) == (companion.kind, companion.variant)
            and companion.family in ("", info.family)
            and re.search(companion.name, path.stem, re.IGNORECASE)
        ]
        if not fitting:
            return None
        path = max(fitting)[1]
        wrapped = any(key.startswith(WRAPPED) for key in read_header(path).tensors)
        return Origin(shards_of(path), WRAPPED if wrapped else "")

    def _lent(self, family: Family, blueprint: Blueprint, name: str) -> Origin | None:
        """The component's folder in a diffusers folder of the same family, which need not be whole."""
        for folder in (path for info, path in self._models if info.kind == "diffusers"):
            try:
                index = read_json(folder / "model_index.json")
                same = components_of(index).get(name, ("", ""))[1] == blueprint.parts[name][1]
                files, _ = weight_files(folder / name)
            except (ModelError, OSError):
                continue
            pipeline = index.get("_class_name")
            fits = isinstance(pipeline, str) and pipeline in family.covers
            if fits and same and files and os.path.isfile(folder / name / "config.json"):
                return Origin(tuple(files), folder=folder / name)
        return None

    def problem(self, info: ModelInfo) -> str | None:
        """What is nowhere, in a sentence that says what to fetch and where to put it; None: the model can be completed."""
        family = family_for(info)
        blueprint = family.blueprint
        if blueprint is None:
            return None
        try:
            found = self.origins(info)
        except ModelError as error:
            return f"A file that it needs cannot be read: {error}"
        absent = set(info.needs) - found.keys()
        missing = [name for name in info.needs if name in absent - blueprint.optional]
        tokenizers = list(blueprint.tokenizers) if info.needs and not self._has_clip else []
        t5 = t5_tokenizers(blueprint, absent)
        tokenizers += t5 if t5 and not self._has_t5 else []
        return _sentence(family, blueprint, missing, tokenizers) if missing or tokenizers else None

    @cached_property
    def _has_t5(self) -> bool:
        return find_t5_tokenizer(self._folders) is not None

    @cached_property
    def _has_clip(self) -> bool:
        return clip_vocabulary(self._folders) is not None


def _sentence(family: Family, blueprint: Blueprint, missing: list[str], tokenizers: list[str]) -> str:
    files = {name: blueprint.companions.get(name) for name in missing}
    lacks = [
        TITLES.get(file.variant or file.kind, name) if file else f"its {name.replace('_', ' ')}"
        for name, file in files.items()
    ] + ["the tokenizer of its text encoder"] * bool(tokenizers)
    listed = " and ".join(filter(None, (", ".join(lacks[:-1]), lacks[-1])))
    folders = ", ".join(f"{name}/" for name in sorted([*missing, *tokenizers]))
    examples = ", ".join(file.example for file in files.values() if file)
    other = f" (or, of the weights, files as ComfyUI keeps them: {examples})" if examples else ""
    return (
        f"The file lacks {listed}, and nothing else here has it. Fetch {folders} and model_index.json of "
        f"{family.source} into models/{family.source.rpartition('/')[2]}/{other}."
    )
