"""What models are on disk: walks the models folders and describes each without loading it. No torch.

Answers from its index where nothing changed, so asking often is cheap.
"""

import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.core.cascade import Cascade, Enlarger
from studio.core.models import ModelInfo
from studio.core.request import DEFAULT
from studio.manager.disk import image_encoders
from studio.manager.disk.cards import Overrides
from studio.manager.disk.companions import Companions, Origin
from studio.manager.disk.describe import describe_path, unforeseen
from studio.manager.disk.index import Index, hash_key
from studio.manager.disk.safe_files import readable, stamp
from studio.manager.disk.walk import candidates
from studio.manager.families import FAMILIES

SETTLED = 2.0  # seconds after which a file is no longer being written
BATCH = 50  # files after which what was learned is stored, so that a scan that is cut short was not in vain


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
            if self._hashing and not self._hashing.is_alive():
                self._hash(found)
        return sorted(found.values(), key=lambda info: (not info.shipped, info.problem is not None, info.id))

    def _scan(self) -> dict[str, ModelInfo]:
        found: dict[str, ModelInfo] = {}
        paths: dict[str, Path] = {}
        learned: list[tuple[str, str, dict[str, Any]]] = []
        known, overrides = self.index.snapshot(), self.overrides.kept()
        for root, path, signature in candidates(self._folders):
            own = overrides.get(str(path.absolute()), {})
            signature = f"{signature}:{sorted(own.items())}" if own else signature
            info = _remembered(known.get(str(path)), signature)
            if info is None:
                info = describe_path(root, path, own)
                learned.append((str(path), signature, info.model_dump(mode="json")))
                if len(learned) == BATCH:
                    self.index.put_facts(learned)
                    learned = []
            key, state = hash_key(path)
            mark, facts = known.get(key, ("", ""))
            sha256 = json.loads(facts)["sha256"] if mark == state else None
            info = info.model_copy(update={"id": _free_id(info.id, path, found), "sha256": sha256})
            found[info.id], paths[info.id] = info, path
        self.index.put_facts(learned)
        self._paths = paths
        return self._completed(found)

    def _completed(self, found: dict[str, ModelInfo]) -> dict[str, ModelInfo]:
        """With the reason at each single file that lacks what no other file here has, and with what enlarges a model's picture."""
        companions = Companions([(info, self._paths[model_id]) for model_id, info in found.items()], self._folders)
        self._companions = companions
        completed = {}
        for model_id, info in found.items():
            try:
                single = info.problem is None and info.kind in ("checkpoint", "gguf")
                problem = companions.problem(info) if single else info.problem
                if info.kind == "ip_adapter" and problem is None:
                    problem = image_encoders.problem(self._paths[model_id], self._paths.values())
                completed[model_id] = _with_cascade(info.model_copy(update={"problem": problem}), found)
            except Exception as error:
                problem = unforeseen(self._paths[model_id], error)
                completed[model_id] = info.model_copy(update={"problem": problem})
        return completed

    def beside(self, info: ModelInfo) -> dict[str, Origin]:
        """Where the components lay that a single file lacks, when models were last asked for."""
        if self._companions is None:
            self.models()
        assert self._companions is not None
        return self._companions.origins(info)

    def path(self, model_id: str) -> Path | None:
        """Where a model lies; None if there is none of that id."""
        if model_id not in self._paths:
            self.models()
        return self._paths.get(model_id)

    def image_encoder(self, adapter: Path) -> image_encoders.Encoder | None:
        """For an IP-Adapter's file; None if none here fits. Raises ModelError for one that takes no picture."""
        return image_encoders.find(adapter, self._paths.values())

    def remember_problem(self, model_id: str, problem: str) -> None:
        """What only a load could find: the model is listed with it until its files, or the user's settings, change."""
        path = str(self.path(model_id))
        known = self.index.snapshot().get(path)
        if known:
            self.index.put_facts([(path, known[0], json.loads(known[1]) | {"problem": problem})])

    def start_hashing(self) -> threading.Thread:
        """Compute the SHA-256 of every single file that has none yet, in a thread that ends by itself or on `close`.

        From then on a scan that finds a file without one starts another.
        """
        with self._scanning:
            return self._hash(self._scan())

    def close(self) -> None:
        self._closing.set()

    def _hash(self, found: dict[str, ModelInfo]) -> threading.Thread:
        missing = [self._paths[name] for name, info in found.items() if info.sha256 is None]
        files = [path for path in missing if os.path.isfile(path) and stamp(path) not in self._unhashable]
        if files or self._hashing is None:
            self._hashing = threading.Thread(target=self._hash_all, args=(files,), name="hashing", daemon=True)
            self._hashing.start()
        return self._hashing

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


def _remembered(known: tuple[str, str] | None, signature: str) -> ModelInfo | None:
    """What the index holds of a model, unless that has changed since, or ModelInfo has."""
    if known is None or known[0] != signature:
        return None
    try:
        return ModelInfo.model_validate_json(known[1])
    except ValidationError:
        return None


def _free_id(wanted: str, path: Path, taken: dict[str, ModelInfo]) -> str:
    """Two files may have one name: the later one keeps its suffix, or the name of its models folder, or gets a number. So
    does one whose name is the word for whichever model there is."""
    longer = (wanted, wanted + path.suffix, f"{wanted}@{readable(path.parent.name)}")
    names = itertools.chain(longer, (f"{wanted}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken and name != DEFAULT)


def _with_cascade(info: ModelInfo, found: dict[str, ModelInfo]) -> ModelInfo:
    """`info` with what enlarges its picture: of each family that may follow, the largest model here, up to the first that
    is not. Its own default size is then that of the second model."""
    usable = info.family in FAMILIES and info.problem is None
    wanted = FAMILIES.get(info.family or "").enlargers if usable else ()
    width, height = info.defaults.width, info.defaults.height
    enlargers: list[Enlarger] = []
    for name in wanted:
        fitting = [other for other in found.values() if other.family == name and other.problem is None]
        if not fitting:
            break
        enlargers.append(_enlarger(max(fitting, key=lambda other: (other.bytes, other.id)), width))
        width, height = width * enlargers[-1].factor, height * enlargers[-1].factor
    if not enlargers:
        return info
    cascade = Cascade(width=info.defaults.width, height=info.defaults.height, enlargers=tuple(enlargers))
    second = dict(zip(("width", "height"), cascade.sizes()[1], strict=True))
    return info.model_copy(update={"cascade": cascade, "defaults": info.defaults.model_copy(update=second)})


def _enlarger(info: ModelInfo, width: int) -> Enlarger:
    """`width` is the picture's before it."""
    enlarging = FAMILIES.get(info.family or "").enlarging
    assert enlarging is not None
    return Enlarger(
        id=info.id,
        title=info.title,
        factor=enlarging.factor or max(round(info.defaults.width / width), 1),
        sampler=info.defaults.sampler,
        steps=info.defaults.steps,
        guidance_scale=info.defaults.guidance_scale,
        noise_level=enlarging.noise_level,
        most_noise=enlarging.most_noise,
    )
