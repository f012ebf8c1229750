"""The user's own word on a model: in the card beside it, or in a file of ours where nothing may be written beside it.

What comes with the studio is never changed: a word on a shipped model goes into our file too. Knows cards and paths,
nothing of what a word means; a value that no family or VAE goes by is for the studio to refuse.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest, ModelError, StorageError, UnknownName
from studio.core.models import MODEL_KINDS, ModelInfo, Override
from studio.manager.disk.files import card_of
from studio.manager.disk.folders import read_card, read_json
from studio.manager.families import FAMILIES

FIELDS = frozenset(Override.model_fields)
OF_ANY_FILE = frozenset({"title", "hidden"})


class Overrides:
    """`file` keeps what cannot lie beside a model; None: nothing is kept there. Safe to use from several threads."""

    def __init__(self, file: Path | None):
        self._file = file
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None  # size and mtime of what was read last
        self._kept: dict[str, dict[str, Any]] = {}

    def of(self, model: Path) -> dict[str, Any]:
        """The fields of the model's card that are kept in our file; they go before the card's."""
        with self._lock:
            return dict(self._fresh().get(_key(model), {}))

    def write(self, model: Path, changes: Override) -> None:
        """Keep the fields that are given; None takes a word back. Raises StorageError, or ModelError for a broken card."""
        words = changes.model_dump(exclude_unset=True)
        card = card_of(model)
        with self._lock:
            mine = dict(self._fresh().get(_key(model), {}))
            if not mine and not read_card(card).shipped and _write_beside(card, words):
                return
            beside = read_json(card) if card.exists() else {}
            for name, word in words.items():
                if word is None and (name in mine or name not in beside):
                    mine.pop(name, None)
                else:
                    mine[name] = word
            self._keep(_key(model), mine)

    def _fresh(self) -> dict[str, dict[str, Any]]:
        """What our file holds now; a file that is not understood holds nothing."""
        if self._file is None:
            return self._kept
        try:
            stat = self._file.stat()
            stamp = (stat.st_size, stat.st_mtime_ns)
            if stamp != self._read_at:
                rows = read_json(self._file)
                self._kept = {model: _known(row) for model, row in rows.items() if isinstance(row, dict)}
                self._read_at = stamp
        except (OSError, ModelError):
            self._kept, self._read_at = {}, None
        return self._kept

    def _keep(self, key: str, words: dict[str, Any]) -> None:
        if self._file is None:
            raise StorageError("The model's folder may not be written to, so its settings cannot be kept.")
        rows = {model: row for model, row in self._fresh().items() if model != key}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, rows | ({key: words} if words else {}))
        except OSError as error:
            raise StorageError(f"The model's settings could not be kept: {error.strerror or error}.") from None


def is_hidden(model: Path, own: dict[str, Any] | None = None) -> bool:
    """Whether the user, or the model's card, keeps it out of lists; `own` are the user's words that are kept elsewhere."""
    try:
        return bool(read_card(card_of(model), own).hidden)
    except ModelError:
        return bool((own or {}).get("hidden"))


def check_override(info: ModelInfo, changes: Override, models: list[ModelInfo]) -> None:
    """Refuse a word that nothing goes by: a family that is none, a VAE that is not here. Raises InvalidRequest."""
    if info.kind not in MODEL_KINDS and changes.model_fields_set - OF_ANY_FILE:
        raise InvalidRequest(f"{info.title} is no model that makes pictures; only its title can be set.")
    if changes.family is not None:
        if info.kind == "diffusers":
            raise InvalidRequest("The family of a diffusers folder is what its model_index.json names.", field="family")
        FAMILIES.get(changes.family, field="family")
    if changes.vae is not None:
        usable = sorted(model.id for model in models if model.kind == "vae" and model.problem is None)
        if changes.vae not in usable:
            raise UnknownName("VAE", changes.vae, usable, field="vae")


def write_json(file: Path, values: dict[str, Any]) -> None:
    """The file is there whole or not at all, and on the disk when this returns. Raises OSError."""
    temporary = file.with_name(f".{file.name[:80]}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as out:
            json.dump(values, out, indent=2)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_beside(card: Path, words: dict[str, Any]) -> bool:
    """Put the words into the card, its other keys untouched; False where its folder refuses."""
    values = (read_json(card) if card.exists() else {}) | words
    for name in [name for name, word in words.items() if word is None]:
        del values[name]
    try:
        if values:
            write_json(card, values)
        else:
            card.unlink(missing_ok=True)  # an empty card says nothing
    except OSError:
        return False
    return True


def _known(row: dict[str, Any]) -> dict[str, Any]:
    kinds = {"hidden": bool}
    return {
        name: word
        for name, word in row.items()
        if name in FIELDS and (word is None or isinstance(word, kinds.get(name, str)))
    }


def _key(model: Path) -> str:
    return str(model.absolute())
