"""Walks the models folders and names what may be a model there, with a signature that changes when it does.

Opens no weights. Every folder is visited once, by whichever way it is reached, so links may form any ring; and a file that
lies here under several names is named once, by the place where it really is.
"""

import hashlib
import importlib.metadata
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from studio.core.annotators import FOLDER
from studio.core.errors import ModelError
from studio.manager.disk.cards import card_of, read_card
from studio.manager.disk.extra_paths import FILE, Place, is_given_file, places_of, read_paths
from studio.manager.disk.names import OTHER_REPOSITORIES, file_name, folder_name, is_old, shards_of
from studio.manager.disk.safe_files import json_or_nothing, listed, stamp
from studio.manager.disk.sidecars import sidecars_in

SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
MAX_DEPTH = 6
NO_MODELS = frozenset(
    {"venv", "site-packages", "node_modules", "__pycache__", FOLDER}
)  # of programs, and of annotators

Found = tuple[Path, Path, str]  # (root that ids begin below, path, signature)


class _Entry(NamedTuple):
    """What may be a model; `beside` are the names of all that lies beside a file, None for a folder."""

    root: Path
    path: Path
    beside: frozenset[str] | None = None
    is_link: bool = False


def candidates(roots: Iterable[Path]) -> Iterator[Found]:
    """Each diffusers folder and each weights file; nothing within the former, nothing hidden.

    Files that name folders elsewhere are among them, where they were not understood or not applied.
    """
    roots = list(roots)
    given = [root for root in roots if is_given_file(root)]
    folders: set[tuple[int, int]] = set()
    files: set[tuple[int, int]] = set()
    for file in given:
        yield from _paths_file(file.parent, file, applied=True)
    found = [entry for place in places_of(roots) for entry in _entries(place, folders)]
    for root, path, beside, _ in sorted(found, key=lambda entry: entry.is_link and 1 + is_old(entry.path)):
        if beside is None:
            yield root, path, _folder_signature(path)
        elif path.name != FILE:
            if _is_new(path, files):
                yield root, path, _file_signature(path, beside)
        elif path not in given:
            yield from _paths_file(root, path, applied=path.parent in roots)


def _entries(place: Place, seen: set[tuple[int, int]]) -> Iterator[_Entry]:
    """All that may be a model below one place and is not hidden."""
    pending: list[tuple[Path, int]] = [(place.folder, 0)]
    links: list[tuple[Path, int]] = []
    while pending or links:
        folder, depth = pending.pop() if pending else links.pop(0)  # what is really here goes before what is linked
        entries = listed(folder, seen)
        names = frozenset(entry.name for entry in entries)
        parts: frozenset[str] = frozenset()
        if "model_index.json" in names:
            yield _Entry(place.root, folder)
            if depth:
                continue
            parts = frozenset(json_or_nothing(folder / "model_index.json"))  # the root itself hides no other model
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith((".", *OTHER_REPOSITORIES)) or entry.name in NO_MODELS or entry.name in parts:
                continue
            if os.path.isdir(path):
                if depth < MAX_DEPTH:
                    (links if entry.is_symlink() else pending).append((path, depth + 1))
            elif entry.name == FILE or _is_weights(path, names):
                yield _Entry(place.root, path, names, entry.is_symlink())


def _is_weights(path: Path, names: frozenset[str]) -> bool:
    """Whether a file is to be named: of the several files of one model only the first that is there."""
    first = next((shard for shard in shards_of(path) if shard.name in names), path)
    return path.name.lower().endswith(SUFFIXES) and path == first and not _serves(path)


def _serves(path: Path) -> bool:
    """Whether the file came with the studio and serves something else; one with a bad card is listed with the reason."""
    try:
        card = read_card(card_of(path))
    except ModelError:
        return False
    return card.shipped and bool(card.hidden)


def _is_new(path: Path, files: set[tuple[int, int]]) -> bool:
    """Whether the file has not been named before, or has a card of its own here; one that is not there is always new."""
    try:
        stat = path.stat()
    except OSError:
        return True
    known = stat.st_ino != 0 and (stat.st_dev, stat.st_ino) in files  # 0 where a disk numbers no files
    files.add((stat.st_dev, stat.st_ino))
    return not known or os.path.lexists(card_of(path))


def _paths_file(root: Path, file: Path, *, applied: bool) -> Iterator[Found]:
    """A file that names folders elsewhere, where there is something to say of it."""
    _, problem = read_paths(file)
    if problem or not applied:
        yield root, file, _hashed([file], str(problem))


def _file_signature(path: Path, names: frozenset[str]) -> str:
    """Changes when the file does, or its card, or what belongs to it among the `names` of its folder."""
    beside = map(path.with_name, sidecars_in(path.stem, names))
    return _hashed((*shards_of(path), card_of(path), *beside), file_name(path, depth=2))


def _folder_signature(folder: Path) -> str:
    """Changes when any file below the folder is added, removed, resized or rewritten, or the folder's name."""
    return _hashed((Path(parent) / name for parent, _, names in os.walk(folder) for name in names), folder_name(folder))


def _hashed(files: Iterable[Path], *words: str) -> str:
    stamps = repr((sorted(map(stamp, files)), words))
    return f"{_code_version()}:{hashlib.sha256(stamps.encode(errors='surrogateescape')).hexdigest()}"


@cache
def _code_version() -> str:
    """Changes with the code that describes models, and with diffusers, so that nothing learned outlives the rule it came by."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256(importlib.metadata.version("diffusers").encode())
    models = here.parents[1] / "core" / "models.py"
    for source in sorted([*here.glob("*.*"), *here.parent.glob("families/**/*.[jp]*"), models]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
