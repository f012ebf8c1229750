"""The ledger: one JSON line for each move of a component, with what was predicted and what was measured. No torch."""

import json
import os
import time
from pathlib import Path
from typing import Any

ROW_BYTES = 400  # what most rows take
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
        lines = _last_lines(file, limit)
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


def _last_lines(file: Path, limit: int) -> list[str]:
    """The last `limit` lines; as much of the file's end is read as they take. Raises OSError."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        reach = limit * ROW_BYTES
        while True:
            start = max(size - reach, 0)
            opened.seek(start)
            lines = opened.read(size - start).splitlines()
            lines = lines[1:] if start else lines  # the first may have lost its beginning
            if not start or len(lines) >= limit:
                return [line.decode("utf-8", "replace") for line in lines[-limit:]]
            reach *= 2
