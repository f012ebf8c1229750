"""What runs leave on record: each move of a component, and the memory and the fallbacks that a kind of run needed. No torch."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.core.memory import MoveView
from studio.manager.disk.index import Index

LIMIT = 4 << 20  # bytes; a longer ledger is set aside once and begun anew
MARGIN = 1.1  # a measured peak is met again, more or less; and a budget so much larger is another budget


class Ledger:
    """Appends a JSON line for each row to `file`, and keeps the last in memory. One that cannot be written never stops a run."""

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


def read_moves(file: Path, limit: int) -> list[MoveView]:
    """Its last rows, the latest first, without those that another version, or a hand, wrote in another way."""
    moves = []
    for row in reversed(read_ledger(file, limit)):
        with suppress(ValidationError):
            moves.append(MoveView(**row))
    return moves


class Experience:
    """What runs of each kind (`Run.kind`) took on one kind of device, kept in the index."""

    def __init__(self, index: Index, device: str):
        self._index, self._device = index, device

    def working_memory(self, run: str) -> int | None:
        """What such a run is expected to take beside its weights; None if none was measured."""
        known = self._index.facts(f"working:{run}", self._device)
        return int(known["bytes"] * MARGIN) if known else None

    def learn(self, run: str, peak: int) -> None:
        """Keep the most that such a run took beside its weights."""
        known = self._index.facts(f"working:{run}", self._device)
        most = max(peak, known["bytes"] if known else 0)
        self._index.put_facts([(f"working:{run}", self._device, {"bytes": most})])

    def fallbacks(self, run: str, budget: int) -> tuple[str, ...]:
        """Those that such a run begins with; none where there is more memory now than when it needed them."""
        known = self._index.facts(f"fallbacks:{run}", self._device)
        return tuple(known["names"]) if known and budget <= known["budget"] * MARGIN else ()

    def remember_fallbacks(self, run: str, names: tuple[str, ...], budget: int) -> None:
        self._index.put_facts([(f"fallbacks:{run}", self._device, {"names": list(names), "budget": budget})])
