"""The ledger: one JSON line for each move of a component, with what was predicted and what was measured. No torch."""

import json
import time
from pathlib import Path
from typing import Any

ROW_BYTES = 400  # what a row takes, generously
LIMIT = 4 << 20  # bytes; a longer ledger is set aside once and begun anew


class Ledger:
    """Appends to `file`; None keeps the last rows in memory only. A ledger that cannot be written never stops a run."""

    def __init__(self, file: Path | None):
        self._file = file
        self.recent: list[dict[str, Any]] = []

    def write(self, move: str, **facts: Any) -> None:
        """`move` is load, evict, stream or measure; facts are JSON-clean."""
        row = {"time": round(time.time(), 3), "move": move, **facts}
        self.recent = [*self.recent[-199:], row]
        if self._file is None:
            return
        try:
            if self._file.exists() and self._file.stat().st_size > LIMIT:
                self._file.replace(self._file.with_suffix(".old.jsonl"))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
        except OSError:
            self._file = None  # a full or read-only disk: the rows in memory must do


def read_ledger(file: Path, limit: int = 100) -> list[dict[str, Any]]:
    """The last rows, oldest first; [] where there is no ledger, and lines cut short are passed over."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(file.stat().st_size - limit * ROW_BYTES, 0))
            lines = opened.read().decode("utf-8", "replace").splitlines()[-limit:]
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
