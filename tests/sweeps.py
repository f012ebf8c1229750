"""Which of many cases of one kind run by default; the others only in `make test-all`."""

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(number: int, cases: Iterable[Any]) -> list[Any]:
    """All cases, of which one in `number` runs by default, the first one among them."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if at % number == 0 else pytest.mark.sweep
        )
        for at, case in enumerate(cases)
    ]
