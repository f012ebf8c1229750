"""Says which folders are scanned: those that a person named, and those that ComfyUI's `extra_model_paths.yaml` names.

That file is applied only where a person named it, with `--models`, or where it lies in the very folder that was named. One
that lies deeper may have come with a download, and is listed with a sentence instead. Knows no models.

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
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from studio.core.errors import ModelError
from studio.manager.disk.safe_files import open_file, shown

FILE = "extra_model_paths.yaml"
SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 64 << 10
MAX_FOLDERS = 500
NOT_PATHS = frozenset({"base_path", "is_default", "custom_nodes", "configs", "download_model_base"})
NOT_HERE = "This file names folders of models elsewhere. It is read where it is given with --models, or lies in a folder that is."


class Place(NamedTuple):
    """A folder to walk, the folder above it that ids begin below, and whether it goes before others."""

    folder: Path
    root: Path
    first: bool = False


def is_given_file(root: Path) -> bool:
    """Whether a person named such a file, whatever it is called, where a folder is named."""
    return root.suffix.lower() in SUFFIXES and os.path.isfile(root)


def places_of(roots: Iterable[Path]) -> list[Place]:
    """Where models are looked for, in order of precedence: each root, and what a file in it, or in its place, names."""
    roots = list(roots)
    places: dict[Place, None] = {}
    for root in roots:
        given = is_given_file(root)
        file = root if given else root / FILE
        named = read_paths(file)[0] if given or os.path.isfile(file) else []
        own = [] if given else [Place(root, root)]
        for place in (*(p for p in named if p.first), *own, *(p for p in named if not p.first)):
            # ids of what lies in a root begin below that root, however it is reached
            above = next((root for root in roots if place.folder.is_relative_to(root)), place.root)
            places[Place(place.folder, above)] = None
    return list(places)


def folders_of(roots: Iterable[Path]) -> tuple[Path, ...]:
    """The same without their roots."""
    return tuple(place.folder for place in places_of(roots))


def read_paths(file: Path) -> tuple[list[Place], str | None]:
    """The folders that the file names and that exist, and in one sentence what was not understood."""
    places: list[Place] = []
    problems: list[str] = []
    try:
        for name, section in _sections(file).items():
            if section is not None:
                _read_section(shown(str(name), 40), section, file.parent.absolute(), places, problems)
    except ModelError as error:
        return [], str(error)
    if len(places) > MAX_FOLDERS:
        return [], f"It names more than {MAX_FOLDERS} folders."
    return places, next(iter(problems), None)


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
    if not isinstance(value, dict | None):
        raise ModelError("The file holds no sections with folders in them.")
    return value or {}


def _read_section(name: str, section: Any, here: Path, places: list[Place], problems: list[str]) -> None:
    """One section's folders; relative ones lie below its base_path, or beside the file."""
    if not isinstance(section, dict):
        problems.append(f"Its section {name!r} holds no folders.")
        return
    base, first = section.get("base_path"), bool(section.get("is_default"))
    if not isinstance(base, str | None):
        problems.append(f"In its section {name!r}, 'base_path' names no folder.")
        return
    root = Path(os.path.normpath(here / os.path.expandvars(os.path.expanduser((base or "").strip()))))
    if base is not None and not os.path.isdir(root):
        problems.append(f"In its section {name!r}, 'base_path' names a folder that does not exist.")
        return
    for key, value in section.items():
        for line in () if key in NOT_PATHS else _lines(value):
            folder = Path(os.path.normpath(root / line))
            if folder == Path(folder.anchor):
                problems.append(f"In its section {name!r}, {shown(str(key), 40)!r} names no folder.")
            elif os.path.isdir(folder):
                inside = base is not None and folder.is_relative_to(root)
                places.append(Place(folder, root if inside else folder.parent, first))


def _lines(value: Any) -> list[str]:
    """The paths of one entry: a line each, or the items of a list; the whole disk, which is refused, for what is neither."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(item, str) and "\0" not in item for item in items):
        return [os.sep]
    return [line.strip() for item in items for line in item.split("\n") if line.strip()]
