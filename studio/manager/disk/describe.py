"""Describes what lies at a path, a diffusers folder or a weights file, as a ModelInfo. Never raises, and never loads.

The order of precedence is: the user's own settings, the card beside the model, what `files` and `folders` read of it.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.disk.cards import Card, card_of, read_card
from studio.manager.disk.files import describe_file
from studio.manager.disk.folder_parts import weight_bytes
from studio.manager.disk.folders import describe_folder
from studio.manager.disk.names import file_name, folder_name, shards_of
from studio.manager.disk.safe_files import readable, size_of

MAX_ID = 200  # a request takes names of 300
# The libraries that read weights take no bytes for a path.
NO_TEXT = "Its name, or its folder's, holds bytes that are not text, so it cannot be opened; rename it."

log = logging.getLogger(__name__)


def describe_path(root: Path, path: Path, own: dict[str, Any] | None = None) -> ModelInfo:
    """What lies at `path`, its id being the path below `root`; `own` are the user's settings for it."""
    name = path.relative_to(root) if path != root else Path(path.name)  # a models folder may be a model itself
    return describe(path, _id_of(name if os.path.isdir(path) else name.with_suffix("")), own)


def describe(path: Path, model_id: str, own: dict[str, Any] | None = None) -> ModelInfo:
    """Whatever it holds, the others are listed: what no rule foresaw is logged, and is the problem of this one."""
    folder, card = os.path.isdir(path), Card(hidden=(own or {}).get("hidden"))
    name = folder_name(path) if folder else file_name(path, depth=model_id.count("/"))
    problem: str | None
    try:
        card = read_card(card_of(path), own)
        info = card.applied(describe_folder(path, name, card) if folder else describe_file(path, name, card))
    except ModelError as error:
        problem = str(error)
    except OSError as error:
        problem = f"A part of it cannot be read: {error.strerror}."
    except Exception as error:
        problem = unforeseen(path, error)
    else:
        problem = info.problem or (None if os.fsencode(path) == str(path).encode(errors="replace") else NO_TEXT)
        return info.model_copy(update={"id": model_id, "problem": problem})
    try:
        size = weight_bytes(path) if folder else sum(map(size_of, shards_of(path)))
    except OSError:
        size = 0
    kind = "diffusers" if folder else "unknown"
    return ModelInfo(
        id=model_id, title=readable(name), kind=kind, bytes=size, hidden=bool(card.hidden), problem=problem
    )


def unforeseen(path: Path, error: Exception) -> str:
    """The problem of a model at which our own code failed; the log has the rest."""
    log.error("%s could not be described.", readable(path.name), exc_info=error)
    return f"It could not be described ({type(error).__name__}); the log says more."


def _id_of(name: Path) -> str:
    """A path as an id: text that can be stored, shown and typed; one too long for a request keeps its end, and a hash."""
    text = readable(name.as_posix())
    if len(text) <= MAX_ID:
        return text
    return f"~{hashlib.sha256(text.encode()).hexdigest()[:8]}~{text[-MAX_ID:]}"
