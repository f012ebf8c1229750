"""The ledger: rows in order, whatever their length; what was cut short is passed over; conversions show the pace of the machine."""

import json
from pathlib import Path

import pytest

from studio.manager.conversion.imports import RATE, START_SECONDS, expected_seconds
from studio.manager.memory.ledger import Ledger, read_ledger


@pytest.mark.parametrize("width", [1, 5000])
def test_the_last_rows_are_read_whatever_their_length(tmp_path: Path, width: int) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for number in range(30):
        ledger.write("load", component="unet", models=["m" * width], number=number)
    assert [row["number"] for row in read_ledger(tmp_path / "ledger.jsonl", 20)] == list(range(10, 30))
    assert len(read_ledger(tmp_path / "ledger.jsonl", 500)) == 30


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    assert read_ledger(file) == []
    file.write_bytes(b'{"move": "load"}\n{"move": "ev\n3\n\xff\n' + json.dumps({"move": "evict"}).encode())
    assert [row["move"] for row in read_ledger(file)] == ["load", "evict"]


def test_how_long_a_conversion_takes_is_judged_by_those_before_it() -> None:
    assert expected_seconds(int(2 * RATE), []) == pytest.approx(START_SECONDS + 2)
    rows = [
        {"move": "import", "measured": 1000, "seconds": START_SECONDS + 10},
        {"move": "import", "measured": 3000, "seconds": START_SECONDS + 10},
        {"move": "import", "measured": 2000, "seconds": START_SECONDS + 10},
        {"move": "load", "measured": 9, "seconds": 99.0},
        {"move": "import", "measured": None, "seconds": 1.0},
    ]
    assert expected_seconds(4000, rows) == pytest.approx(START_SECONDS + 20)
