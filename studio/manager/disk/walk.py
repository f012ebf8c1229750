"""Walks the models folders and names what may be a model there, with a signature that changes when it does.

Opens no weights. Every folder is visited once, by whichever way it is reached, so links may form any ring.
"""

import hashlib
import importlib.metadata
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from studio.core.errors import ModelError
from studio.manager.disk.files import SUFFIXES, card_of
from studio.manager.disk.folder_parts import read_json
from studio.manager.disk.folders import preview_in, read_card
from studio.manager.disk.sidecars import sidecars_in

MAX_DEPTH = 6
PASSED_OVER = frozenset(
    {"venv", "site-packages", "node_modules", "__pycache__"}
)  # programs, in whose folders models lie


def candidates(roots: Iterable[Path]) -> Iterator[tuple[Path, Path, str]]:
    """(root, path, signature) of each diffusers folder and each weights file; nothing of the former's, nothing hidden."""
    seen: set[tuple[int, int]] = set()
    for root in roots:
        pending: list[tuple[Path, int]] = [(root, 0)]
        links: list[tuple[Path, int]] = []
        while pending or links:
            folder, depth = pending.pop() if pending else links.pop(0)  # what is really here goes before what is linked
            listed = _listed(folder, seen)
            names = frozenset(entry.name for entry in listed)
            parts: frozenset[str] = frozenset()
            if "model_index.json" in names:
                yield root, folder, _folder_signature(folder)
                if depth:
                    continue
                parts = _parts(folder)  # a model downloaded straight into the models folder hides no other
            for entry in listed:
                path = Path(entry.path)
                if entry.name.startswith(".") or entry.name in PASSED_OVER or entry.name in parts:
                    continue
                if _is_folder(entry):
                    if depth < MAX_DEPTH:
                        (links if entry.is_symlink() else pending).append((path, depth + 1))
                elif entry.name.lower().endswith(SUFFIXES) and not _is_hidden(path):
                    yield root, path, _file_signature(path, names)


def _parts(folder: Path) -> frozenset[str]:
    """What belongs to a diffusers folder, by its index."""
    try:
        return frozenset(read_json(folder / "model_index.json"))
    except ModelError:
        return frozenset()


def _listed(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name; nothing if it was seen before or cannot be read."""
    try:
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            return []
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
    seen.add((stat.st_dev, stat.st_ino))
    return listed


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a ring, or where we may not look
        return False


def _is_hidden(path: Path) -> bool:
    """Whether the file's card keeps it out of the list; a card that is not understood is shown with the file."""
    try:
        return read_card(card_of(path)).hidden
    except ModelError:
        return False


def _file_signature(path: Path, names: frozenset[str]) -> str:
    """Changes when the file does, or its card, or what belongs to it among the `names` of its folder."""
    preview = preview_in(path.stem, names)
    beside = [*sidecars_in(path.stem, names), *([preview] if preview else [])]
    return _hashed([stamp(file) for file in (path, card_of(path), *map(path.with_name, beside))])


def _folder_signature(folder: Path) -> str:
    """Changes when any file below the folder is added, removed, resized or rewritten."""
    return _hashed([stamp(Path(parent) / name) for parent, _, names in os.walk(folder) for name in names])


def stamp(path: Path) -> tuple[str, int, int]:
    """(path, size, mtime); a size of -1 where nothing is."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), stat.st_size, stat.st_mtime_ns


def _hashed(stamps: list[tuple[str, int, int]]) -> str:
    digest = hashlib.sha256(repr(sorted(stamps)).encode()).hexdigest()
    return f"{_describer()}:{digest}"


@cache
def _describer() -> str:
    """Changes with the code that describes files, and with diffusers, so that nothing learned outlives the rule it came by."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256(importlib.metadata.version("diffusers").encode())
    models = here.parents[1] / "core" / "models.py"
    for source in sorted([*here.glob("*.py"), *here.parent.glob("families/*.py"), models]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
