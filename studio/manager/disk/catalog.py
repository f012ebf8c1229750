"""What models are on disk: walks the models folders and describes each without loading it. No torch.

Answers from its index where nothing changed, so asking often is cheap.
"""

import hashlib
import itertools
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.core.models import ModelInfo
from studio.core.request import DEFAULT
from studio.manager.disk.cards import Overrides, is_hidden
from studio.manager.disk.cascades import with_cascade
from studio.manager.disk.companions import Companions, Origin
from studio.manager.disk.files import describe_file
from studio.manager.disk.folders import read_folder
from studio.manager.disk.index import Index
from studio.manager.disk.safe_files import readable
from studio.manager.disk.walk import candidates, stamp
from studio.manager.families import family_for

MAX_ID = 200  # a request takes names of 300
SETTLED = 2.0  # seconds after which a file is no longer being written
# The libraries that read weights take no bytes for a path.
NO_TEXT = "Its name, or its folder's, holds bytes that are not text, so it cannot be opened; rename it."
BATCH = 50  # files after which what was learned is stored, so that a scan that is cut short was not in vain

log = logging.getLogger(__name__)


class Catalog:
    """`folders` in order of precedence; `index` is the SQLite file, None for one in memory."""

    def __init__(self, folders: tuple[Path, ...], index: Path | None):
        self._folders = folders
        self.index = Index(index)
        self.overrides = Overrides(index.with_name("overrides.json") if index else None)
        self._paths: dict[str, Path] = {}
        self._companions: Companions | None = None  # of the last scan
        self._scanning = threading.Lock()
        self._closing = threading.Event()
        self._hashing: threading.Thread | None = None
        self._unhashable: set[tuple[str, int, int]] = set()  # stamps of files that could not be read

    def models(self) -> list[ModelInfo]:
        """Every model found, shipped ones first, then usable ones, each id once."""
        with self._scanning:  # whoever asks meanwhile is answered from what this scan learns
            found = self._scan()
            unhashed = self._unhashed(found) if self._hashing and not self._hashing.is_alive() else []
            if unhashed:
                self._hash(unhashed)
        return sorted(found.values(), key=lambda info: (not info.shipped, info.problem is not None, info.id))

    def _scan(self) -> dict[str, ModelInfo]:
        found: dict[str, ModelInfo] = {}
        paths: dict[str, Path] = {}
        learned: list[tuple[str, str, dict[str, Any]]] = []
        facts, hashes = self.index.snapshot()
        for root, path, signature in candidates(self._folders):
            own = self.overrides.of(path)
            signature = f"{signature}:{sorted(own.items())}" if own else signature
            info = _remembered(facts.get(str(path)), signature)
            if info is None:
                info = describe_path(root, path, own)
                learned.append((str(path), signature, info.model_dump(mode="json")))
                if len(learned) == BATCH:
                    self.index.put_facts(learned)
                    learned = []
            sha256 = _known_hash(path, hashes)
            info = info.model_copy(update={"id": _free_id(info.id, path, found), "sha256": sha256})
            found[info.id], paths[info.id] = info, path
        self.index.put_facts(learned)
        self._paths = paths
        return self._completed(found)

    def _completed(self, found: dict[str, ModelInfo]) -> dict[str, ModelInfo]:
        """With the reason at each single file that lacks what no other file here has, and with what enlarges a model's picture."""
        companions = Companions([(info, self._paths[model_id]) for model_id, info in found.items()], self._folders)
        self._companions = companions
        return {
            model_id: with_cascade(info, found)
            if info.problem or info.kind not in ("checkpoint", "gguf")
            else info.model_copy(update={"problem": companions.problem(info)})
            for model_id, info in found.items()
        }

    def beside(self, info: ModelInfo) -> dict[str, Origin]:
        """Where the components lay that a single file lacks, when models were last asked for."""
        family = family_for(info) if info.needs else None
        if family is None or family.blueprint is None:
            return {}
        if self._companions is None:
            self.models()
        assert self._companions is not None
        return self._companions.origins(family, family.blueprint, info.needs)

    def start_hashing(self) -> threading.Thread:
        """Compute the SHA-256 of every single file that has none yet, in a thread that ends by itself or on `close`.

        From then on a scan that finds a file without one starts another.
        """
        with self._scanning:
            return self._hash(self._unhashed(self._scan()))

    def _hash(self, files: list[Path]) -> threading.Thread:
        self._hashing = threading.Thread(target=self._hash_all, args=(files,), name="hashing", daemon=True)
        self._hashing.start()
        return self._hashing

    def close(self) -> None:
        self._closing.set()

    def _unhashed(self, found: dict[str, ModelInfo]) -> list[Path]:
        missing = [self._paths[name] for name, info in found.items() if info.sha256 is None]
        return [path for path in missing if os.path.isfile(path) and stamp(path) not in self._unhashable]

    def _hash_all(self, files: list[Path]) -> None:
        for file in files:
            mark = stamp(file)
            if 0 <= time.time() - mark[2] / 1e9 < SETTLED and self._closing.wait(SETTLED):
                return
            if stamp(file) != mark:
                continue  # still being written: a later scan finds it again
            try:
                self.index.hash(file, stop=self._closing)
            except OSError:
                self._unhashable.add(mark)  # it simply has no hash
            if self._closing.is_set():
                return

    def path(self, model_id: str) -> Path | None:
        """Where a model lies; None if there is none of that id."""
        if model_id not in self._paths:
            self.models()
        return self._paths.get(model_id)

    def remember_problem(self, model_id: str, problem: str) -> None:
        """What only a load could find: the model is listed with it until its files, or the user's settings, change."""
        known = self.index.snapshot()[0].get(str(self.path(model_id)))
        if known:
            facts = json.loads(known[1]) | {"problem": problem}
            self.index.put_facts([(str(self.path(model_id)), known[0], facts)])


def _remembered(known: tuple[str, str] | None, signature: str) -> ModelInfo | None:
    """What the index holds of a model, unless that has changed since, or ModelInfo has."""
    if known is None or known[0] != signature:
        return None
    try:
        return ModelInfo.model_validate_json(known[1])
    except ValidationError:
        return None


def _known_hash(path: Path, hashes: dict[str, tuple[int, int, str]]) -> str | None:
    """The SHA-256 that was computed of the file as it stands now."""
    known = hashes.get(str(path.absolute()))
    _, size, mtime_ns = stamp(path)
    return known[2] if known and known[:2] == (size, mtime_ns) else None


def describe_path(root: Path, path: Path, own: dict[str, Any] | None = None) -> ModelInfo:
    """A diffusers folder or a weights file, whose id is its path below `root`; `own` are the user's settings for it.

    Whatever one of them holds, the others are listed: what no rule foresaw is logged, and is the problem of that one.
    """
    name = path.relative_to(root) if path != root else Path(path.name)  # a models folder may be a model itself
    try:
        folder = os.path.isdir(path)
        info = (
            read_folder(path, _id_of(name), own) if folder else describe_file(path, _id_of(name.with_suffix("")), own)
        )
    except Exception as error:
        log.exception("%s could not be described.", readable(path.name))
        problem = f"It could not be described ({type(error).__name__}); the log says more."
        info = ModelInfo(id=_id_of(name), title=readable(path.stem), kind="unknown", problem=problem)
    unreadable = None if os.fsencode(path) == str(path).encode(errors="replace") else NO_TEXT
    return info.model_copy(update={"hidden": is_hidden(path, own), "problem": info.problem or unreadable})


def _id_of(name: Path) -> str:
    """A path as an id: text that can be stored, shown and typed; one too long for a request keeps its end, and a hash."""
    text = readable(name.as_posix())
    if len(text) <= MAX_ID:
        return text
    return f"~{hashlib.sha256(text.encode()).hexdigest()[:8]}~{text[-MAX_ID:]}"


def _free_id(wanted: str, path: Path, taken: dict[str, ModelInfo]) -> str:
    """Two files may have one name: the later one keeps its suffix, or the name of its models folder, or gets a number. So
    does one whose name is the word for whichever model there is."""
    longer = (wanted, wanted + path.suffix, f"{wanted}@{readable(path.parent.name)}")
    names = itertools.chain(longer, (f"{wanted}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken and name != DEFAULT)
