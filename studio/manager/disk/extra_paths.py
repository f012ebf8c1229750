"""Reads ComfyUI's `extra_model_paths.yaml`, which names folders of models elsewhere, and says which folders are scanned.

Honoured only where a person named it: given with `--models`, or lying in the very folder that was. One that lies deeper
may have come with a download, and must not make us look where nobody asked us to; it is listed with a sentence instead.
Knows folders and YAML; refuses to know models.

    a111:                                  # any name; several may follow one another
        base_path: ~/stable-diffusion-webui/   # may be left out; relative ones start at this file
        is_default: true                   # these folders go before others
        checkpoints: models/Stable-diffusion
        loras: |
            models/Lora
            models/LyCORIS
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import ModelError
from studio.manager.disk.header_values import open_file, shown

FILE = "extra_model_paths.yaml"
SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 64 << 10
MAX_FOLDERS = 500
NO_MODELS = frozenset(
    {"custom_nodes", "configs", "download_model_base"}
)  # keys whose folders hold none, or hold the others
NOT_HERE = "This file names folders of models elsewhere. It is read where it is given with --models, or lies in a folder that is."


@dataclass(frozen=True)
class Place:
    """A folder to walk, and the folder above it that ids begin below."""

    folder: Path
    root: Path


@dataclass(frozen=True)
class Paths:
    """What one file names: the folders that go before others, the rest, and in one sentence what was not understood."""

    first: tuple[Place, ...] = ()
    others: tuple[Place, ...] = ()
    problem: str | None = None


@dataclass
class _Found:
    first: list[Place] = field(default_factory=list)
    others: list[Place] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def is_given_file(root: Path) -> bool:
    """Whether a person named such a file, whatever it is called, where a folder is named."""
    return root.suffix.lower() in SUFFIXES and root.is_file()


def places_of(roots: Iterable[Path]) -> list[Place]:
    """Where models are looked for, in order of precedence: each root, and what a file in it, or in its place, names."""
    roots = list(roots)
    places: list[Place] = []
    for root in roots:
        given = is_given_file(root)
        file = root if given else root / FILE
        told = read_paths(file) if given or file.is_file() else Paths()
        own = () if given else (Place(root, root),)
        places += [*_below(roots, told.first), *own, *_below(roots, told.others)]
    return list(dict.fromkeys(places))


def folders_of(roots: Iterable[Path]) -> tuple[Path, ...]:
    """The same without their roots."""
    return tuple(place.folder for place in places_of(roots))


def _below(roots: list[Path], places: tuple[Place, ...]) -> list[Place]:
    """Ids of what lies in a root begin below that root, however it is reached."""
    return [
        Place(place.folder, next((root for root in roots if place.folder.is_relative_to(root)), place.root))
        for place in places
    ]


def read_paths(file: Path) -> Paths:
    """What the file names and has; folders that are not there are passed over, as ComfyUI does."""
    try:
        sections = _sections(file)
    except ModelError as error:
        return Paths(problem=str(error))
    found = _Found()
    for name, section in sections.items():
        if section is not None:
            _read_section(shown(str(name), 40), section, file.parent.absolute(), found)
    if len(found.first) + len(found.others) > MAX_FOLDERS:
        return Paths(problem=f"It names more than {MAX_FOLDERS} folders, which is not believed.")
    problem = found.problems[0] if found.problems else None
    return Paths(tuple(found.first), tuple(found.others), problem)


def _sections(file: Path) -> dict[Any, Any]:
    try:
        with open_file(file) as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"The file cannot be read: {error.strerror}.") from None
    if len(text) > MAX_BYTES:
        raise ModelError(f"The file is larger than {MAX_BYTES >> 10} KiB, which no list of folders is.")
    return _parsed(text)


@lru_cache(maxsize=8)
def _parsed(text: bytes) -> dict[Any, Any]:
    """Section -> its entries; parsing takes longer than reading, and the catalog asks often."""
    try:
        value = yaml.safe_load(text.decode("utf-8-sig"))
    except yaml.MarkedYAMLError as error:
        line = f", at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ModelError(f"The file is not valid YAML{line}.") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError):
        raise ModelError("The file is not valid YAML.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ModelError("The file holds no sections with folders in them.")
    return value


def _read_section(name: str, section: Any, here: Path, found: _Found) -> None:
    """One section's folders; relative ones lie below its base_path, or beside the file."""
    if not isinstance(section, dict):
        found.problems.append(f"Its section {name!r} holds no folders.")
        return
    base = section.get("base_path")
    if base is not None and not isinstance(base, str):
        found.problems.append(f"In its section {name!r}, base_path is no path.")
        return
    root = here if base is None else here / os.path.expandvars(os.path.expanduser(base.strip()))
    root = Path(os.path.normpath(root))
    if base is not None and not _is_folder(root):
        found.problems.append(f"The folder that base_path of its section {name!r} names is not there.")
        return
    places = found.first if section.get("is_default") else found.others
    for key, value in section.items():
        if key in ("base_path", "is_default") or key in NO_MODELS:
            continue
        for line in _lines(value):
            if line is None:
                found.problems.append(f"In its section {name!r}, {shown(str(key), 40)!r} names no folders.")
                break
            folder = Path(os.path.normpath(root / line))
            if folder == Path(folder.anchor):
                found.problems.append(f"In its section {name!r}, {shown(str(key), 40)!r} names the whole disk.")
            elif _is_folder(folder):
                inside = base is not None and folder.is_relative_to(root)
                places.append(Place(folder, root if inside else folder.parent))


def _lines(value: Any) -> list[str | None]:
    """The paths of one entry: a line each, or the items of a list; None for what is neither."""
    if value is None:
        return []
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and "\0" not in item for item in items):
        return [None]
    return [line.strip() for item in items for line in item.split("\n") if line.strip()]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name longer than any
        return False
