"""Which of many cases of one kind run by default; the others only in `make test-all`."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def one_in(number: int, cases: Iterable[Any]) -> list[Any]:
    """All cases, of which one in `number` runs by default, the first one among them."""
    return [_marked(case, at % number == 0) for at, case in enumerate(cases)]


def by_default(default: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """All cases, of which those in `default` run by default; each of them must be a case."""
    cases = list(cases)
    assert all(case in cases for case in default)
    return [_marked(case, case in default) for case in cases]


def shares(number: int) -> list[Any]:
    """For a test that goes through many cases itself, `cases[share::number]`: the first share runs by default."""
    return one_in(number, range(number))


def _marked(case: Any, runs: bool) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if runs else pytest.mark.sweep)
