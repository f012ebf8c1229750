"""How long a conversion will take, judged by those that were made here before. Pure; no torch."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

MOVE = "import"  # what the ledger calls a conversion
STARTING = 4.0  # seconds until the converter has its libraries
RATE = 150e6  # bytes a second on an ordinary disk, where nothing was converted yet
QUICKEST = 0.2  # seconds of work that a rate can be told from


def expected_seconds(size: int, rows: Iterable[Mapping[str, Any]]) -> float:
    """For a file of `size` bytes; `rows` are the ledger's, of which conversions tell the pace of this machine."""
    rates = [
        row["measured"] / max(row["seconds"] - STARTING, QUICKEST)
        for row in rows
        if row.get("move") == MOVE and row.get("measured") and row.get("seconds")
    ]
    return STARTING + size / (statistics.median(rates) if rates else RATE)
