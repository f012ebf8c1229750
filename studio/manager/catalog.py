"""What models are on disk: walks the models folders and describes each without loading it. No torch.

Answers from its index where nothing changed, so asking often is cheap.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from studio.core.models import ModelInfo
from studio.manager.folders import read_folder
from studio.manager.index import Index

FACTS_VERSION = 1  # part of every signature: raise it when the same file would be described differently
MAX_DEPTH = 6


class Catalog:
    """`folders` in order of precedence; `index` is the SQLite file, None for one in memory."""

    def __init__(self, folders: tuple[Path, ...], index: Path | None):
        self._folders = folders
        self.index = Index(index)
        self._paths: dict[str, Path] = {}

    def models(self) -> list[ModelInfo]:
        """Every model found, shipped ones first, each id once."""
        found: dict[str, ModelInfo] = {}
        paths: dict[str, Path] = {}
        learned = []
        for root in self._folders:
            for folder in _diffusers_folders(root):
                signature = _signature(folder)
                facts = self.index.facts(str(folder), signature)
                info = ModelInfo(**facts) if facts else read_folder(folder, folder.relative_to(root).as_posix())
                if facts is None:
                    learned.append((str(folder), signature, info.model_dump(mode="json")))
                info = info.model_copy(update={"id": _free_id(info.id, root, found)})
                found[info.id], paths[info.id] = info, folder
        self.index.put_facts(learned)
        self._paths = paths
        return sorted(found.values(), key=lambda info: (not info.shipped, info.problem is not None, info.id))

    def path(self, model_id: str) -> Path | None:
        """Where a model lies; None if there is none of that id."""
        if model_id not in self._paths:
            self.models()
        return self._paths.get(model_id)


def _diffusers_folders(root: Path) -> Iterator[Path]:
    """Folders that hold a model_index.json, in name order; never below one, never a hidden one, never up a link."""
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError:
            continue
        if any(entry.name == "model_index.json" for entry in listed):
            yield folder
        elif depth < MAX_DEPTH:
            pending += [
                (Path(entry.path), depth + 1)
                for entry in listed
                if not entry.name.startswith(".") and entry.is_dir() and not _is_loop(entry, folder)
            ]


def _is_loop(entry: os.DirEntry[str], folder: Path) -> bool:
    return entry.is_symlink() and folder.resolve().is_relative_to(Path(entry.path).resolve())


def _signature(folder: Path) -> str:
    """Changes when any file below the folder is added, removed, resized or rewritten."""
    rows = []
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.stat(os.path.join(parent, name))
            except OSError:
                continue
            rows.append((os.path.join(parent, name), stat.st_size, stat.st_mtime_ns))
    return f"{FACTS_VERSION}:{len(rows)}:{hash_rows(rows)}"


def hash_rows(rows: list[tuple[str, int, int]]) -> str:
    import hashlib

    return hashlib.sha256(repr(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


def _free_id(wished: str, root: Path, taken: dict[str, ModelInfo]) -> str:
    """Two folders may hold a model of one name: the later one is told apart by its folder."""
    name, number = wished, 1
    while name in taken:
        name = f"{wished}@{root.name}" + (f"-{number}" if number > 1 else "")
        number += 1
    return name
