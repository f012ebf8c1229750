"""Says which folders are scanned: those that a person named, and those that ComfyUI's `extra_model_paths.yaml` names.

That file is applied only where a person named it, with `--models`, or where it lies in the very folder that was named; one
that lies deeper may have come with a download. Knows no models.

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
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from studio.core.errors import ModelError
from studio.manager.disk.safe_files import open_file, shown

FILE = "extra_model_paths.yaml"
MAX_BYTES = 64 << 10
NOT_PATHS = frozenset({"base_path", "is_default", "custom_nodes", "configs", "download_model_base"})


class Place(NamedTuple):
    """A folder to walk, the folder above it that ids begin below, and whether it goes before others."""

    folder: Path
    root: Path
    first: bool = False


def paths_file(root: Path) -> Path | None:
    """The file that names folders elsewhere: the one that a person named in place of a folder, or that in the folder."""
    given = root.suffix.lower() in (".yaml", ".yml") and os.path.isfile(root)
    file = root if given else root / FILE
    return file if os.path.lexists(file) else None


def places_of(roots: Iterable[Path]) -> list[Place]:
    """Where models are looked for, in order of precedence: each root, and what a file in it, or in its place, names."""
    roots = list(roots)
    places: dict[Place, None] = {}
    for root in roots:
        file = paths_file(root)
        named = read_paths(file)[0] if file else []
        own = [] if file == root else [Place(root, root)]
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
    return places, next(iter(problems), None)


def _sections(file: Path) -> dict[Any, Any]:
    try:
        with open_file(file) as opened:
            value = yaml.safe_load(opened.read(MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise ModelError(f"The file cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ModelError(f"The file is not valid YAML{f', at line {mark.line + 1}' if mark else ''}.") from None
    if not isinstance(value, dict | None):
        raise ModelError("The file holds no sections with folders in them.")
    return value or {}


def _read_section(name: str, section: Any, here: Path, places: list[Place], problems: list[str]) -> None:
    """One section's folders; relative ones lie below its base_path, or beside the file."""
    if not isinstance(section, dict):
        problems.append(f"Its section {name!r} holds no folders.")
        return
    base = section.get("base_path")
    root = Path(os.path.normpath(here / os.path.expandvars(os.path.expanduser(str(base or "").strip()))))
    if not os.path.isdir(root):
        problems.append(f"In its section {name!r}, 'base_path' names a folder that does not exist.")
        return
    for value in (value for key, value in section.items() if key not in NOT_PATHS and value):
        words = [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
        lines = [line.strip() for word in words for line in word.split("\n")]
        for folder in (Path(os.path.normpath(root / line)) for line in lines if line):
            if os.path.isdir(folder) and folder != Path(folder.anchor):  # the whole disk is never meant
                inside = base is not None and folder.is_relative_to(root)
                places.append(Place(folder, root if inside else folder.parent, bool(section.get("is_default"))))
