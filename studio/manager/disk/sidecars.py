"""What other programs wrote beside a model's file: AUTOMATIC1111's `NAME.json` and Civitai helpers' `NAME.civitai.info`.

Only read, and only words are taken from them, to be shown as words. One that is not understood says nothing.
"""

from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.folder_parts import read_json
from studio.manager.disk.headers import readable

SUFFIXES = (".json", ".civitai.info")
LONGEST = 500


def sidecars_in(stem: str, names: frozenset[str]) -> list[str]:
    """Those of a file's sidecars that are among the `names` of its folder."""
    return [stem + suffix for suffix in SUFFIXES if stem + suffix in names]


def described_beside(file: Path) -> str:
    """A line or two on the model, from what lies beside its file; empty if nothing says any."""
    told = [words for suffix in SUFFIXES for words in _words(_read(file.with_name(file.stem + suffix)))]
    lines = dict.fromkeys(readable(" ".join(words.split()))[:LONGEST] for words in told)
    return "\n".join(lines)


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except ModelError:
        return {}


def _words(told: dict[str, Any]) -> list[str]:
    """In AUTOMATIC1111's file: description, notes, activation text. In Civitai's: the model's name, its trained words."""
    model = told.get("model")
    named = [
        model.get("name") if isinstance(model, dict) else None,
        told.get("name") if isinstance(model, dict) else None,
    ]
    title = " ".join(word for word in named if isinstance(word, str) and word)
    trained = told.get("trainedWords")
    triggers = ", ".join(w for w in trained if isinstance(w, str)) if isinstance(trained, list) else ""
    triggers = triggers or told.get("activation text", "")
    plain = [told.get(key) for key in ("description", "notes")] if not title else []
    found = [title, *plain, f"Trigger words: {triggers}" if triggers and isinstance(triggers, str) else ""]
    return [words for words in found if isinstance(words, str) and words.strip()]
