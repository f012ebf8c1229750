"""The ledger: one JSON line for each move of a component, with what was predicted and what was measured. No torch."""

import json
import time
from pathlib import Path
from typing import Any

LIMIT = 4 << 20  # bytes; a longer ledger is set aside once and begun anew


class Ledger:
    """Appends to `file`, and keeps the last rows in memory. A ledger that cannot be written never stops a run."""

    def __init__(self, file: Path):
        self._file: Path | None = file
        self.recent: list[dict[str, Any]] = []

    def write(self, move: str, **facts: Any) -> None:
        """`move` is load, evict, stream, measure or import; facts are JSON-clean."""
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
        lines = file.read_bytes().splitlines()[-limit:]
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
