"""What models are on disk: walks the models folders and describes each without loading it. No torch.

Answers from its index where nothing changed, so asking often is cheap.
"""

import hashlib
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.files import SUFFIXES, card_of, describe_file
from studio.manager.folders import preview_in, read_card, read_folder
from studio.manager.index import Index
from studio.manager.overrides import Overrides

FACTS_VERSION = 3  # part of every signature: raise it when the same file would be described differently
MAX_DEPTH = 6


class Catalog:
    """`folders` in order of precedence; `index` is the SQLite file, None for one in memory."""

    def __init__(self, folders: tuple[Path, ...], index: Path | None):
        self._folders = folders
        self.index = Index(index)
        self.overrides = Overrides(index.with_name("overrides.json") if index else None)
        self._paths: dict[str, Path] = {}
        self._closing = threading.Event()

    def models(self) -> list[ModelInfo]:
        """Every model found, shipped ones first, then usable ones, each id once."""
        found: dict[str, ModelInfo] = {}
        paths: dict[str, Path] = {}
        learned = []
        facts, hashes = self.index.snapshot()
        for root in self._folders:
            for path, signature in _candidates(root):
                own = self.overrides.of(path)
                signature = f"{signature}:{sorted(own.items())}" if own else signature
                known = facts.get(str(path))
                if known and known[0] == signature:
                    info = ModelInfo.model_validate_json(known[1])
                else:
                    info = describe_path(root, path, own)
                    learned.append((str(path), signature, info.model_dump(mode="json")))
                sha256 = _known_hash(path, hashes)
                info = info.model_copy(update={"id": _free_id(info.id, path, found), "sha256": sha256})
                found[info.id], paths[info.id] = info, path
        self.index.put_facts(learned)
        self._paths = paths
        return sorted(found.values(), key=lambda info: (not info.shipped, info.problem is not None, info.id))

    def start_hashing(self) -> threading.Thread:
        """Compute the SHA-256 of every single file that has none yet, in a thread that ends by itself or on `close`."""
        files = [path for path in self._all_paths() if path.is_file()]
        thread = threading.Thread(target=self._hash_all, args=(files,), name="hashing", daemon=True)
        thread.start()
        return thread

    def close(self) -> None:
        self._closing.set()

    def _all_paths(self) -> list[Path]:
        self.models()
        return list(self._paths.values())

    def _hash_all(self, files: list[Path]) -> None:
        for file in files:
            try:
                self.index.hash(file, stop=self._closing)
            except OSError:
                continue  # deleted or unreadable meanwhile: it simply has no hash
            if self._closing.is_set():
                return

    def path(self, model_id: str) -> Path | None:
        """Where a model lies; None if there is none of that id."""
        if model_id not in self._paths:
            self.models()
        return self._paths.get(model_id)

    def remember_problem(self, model_id: str, problem: str) -> None:
        """What only a load could find: the model is listed with it until its files, or the user's word on it, change."""
        known = self.index.snapshot()[0].get(str(self.path(model_id)))
        if known:
            facts = json.loads(known[1]) | {"problem": problem}
            self.index.put_facts([(str(self.path(model_id)), known[0], facts)])


def _known_hash(path: Path, hashes: dict[str, tuple[int, int, str]]) -> str | None:
    """The SHA-256 that was computed of the file as it stands now."""
    known = hashes.get(str(path.absolute()))
    _, size, mtime_ns = _stamp(path)
    return known[2] if known and known[:2] == (size, mtime_ns) else None


def describe_path(root: Path, path: Path, own: dict[str, Any] | None = None) -> ModelInfo:
    """A diffusers folder or a weights file, whose id is its path below `root`; `own` are the user's words on it."""
    name = path.relative_to(root)
    if path.is_dir():
        return read_folder(path, name.as_posix(), own)
    return describe_file(path, name.with_suffix("").as_posix(), own)


def _candidates(root: Path) -> Iterator[tuple[Path, str]]:
    """(path, signature) of each diffusers folder and each weights file; nothing below the former, nothing hidden."""
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == "model_index.json" for entry in listed):
            yield folder, _folder_signature(folder)
            continue
        names = frozenset(entry.name for entry in listed)
        for entry in listed:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                if not _is_hidden(Path(entry.path)):
                    yield Path(entry.path), _file_signature(Path(entry.path), names)
            elif depth < MAX_DEPTH and entry.is_dir() and not _is_loop(entry, folder):
                pending.append((Path(entry.path), depth + 1))


def _is_loop(entry: os.DirEntry[str], folder: Path) -> bool:
    return entry.is_symlink() and folder.resolve().is_relative_to(Path(entry.path).resolve())


def _is_hidden(path: Path) -> bool:
    """Whether the file's card keeps it out of the list; a card that is not understood is shown with the file."""
    try:
        return read_card(card_of(path)).hidden
    except ModelError:
        return False


def weights_signature(path: Path) -> str:
    """Changes when the file itself does, whatever lies beside it."""
    return _hashed([_stamp(path)])


def _file_signature(path: Path, names: frozenset[str]) -> str:
    """Changes when the file does, or its card or its preview picture, which are among the `names` of its folder."""
    preview = preview_in(path.stem, names)
    beside = [path.with_name(preview)] if preview else []
    return _hashed([_stamp(file) for file in (path, card_of(path), *beside)])


def _folder_signature(folder: Path) -> str:
    """Changes when any file below the folder is added, removed, resized or rewritten."""
    return _hashed([_stamp(Path(parent) / name) for parent, _, names in os.walk(folder) for name in names])


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), stat.st_size, stat.st_mtime_ns


def _hashed(stamps: list[tuple[str, int, int]]) -> str:
    digest = hashlib.sha256(repr(sorted(stamps)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{FACTS_VERSION}:{digest}"


def _free_id(wished: str, path: Path, taken: dict[str, ModelInfo]) -> str:
    """Two files may have one name: the later one keeps its suffix, or the name of its models folder, or gets a number."""
    names = [wished, wished + path.suffix, f"{wished}@{path.parent.name}"]
    return next((name for name in names if name not in taken), None) or _numbered(wished, taken)


def _numbered(wished: str, taken: dict[str, ModelInfo]) -> str:
    return next(name for number in itertools.count(2) if (name := f"{wished}-{number}") not in taken)
