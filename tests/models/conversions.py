"""Conversions of single files in the test's own process, where it has made a family as small as its model.

What the child would do is done; that it is a process of its own is tested in tests/manager/test_imports.py.
"""

import io
import json

import pytest

from studio.core.errors import StudioError
from studio.manager.conversion import import_child, imports


class _Told(io.StringIO):
    """Hands what a child says on to its run."""

    def __init__(self, run: imports._Run):
        super().__init__()
        self._run = run

    def write(self, text: str) -> int:
        words = json.loads(text)
        self._run.what, self._run.fraction = words["what"], words["fraction"]
        return len(text)


def convert_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(self: imports.Imports, run: imports._Run) -> StudioError | None:
        words = import_child.carry_out(run.conversion, self._folders, _Told(run))
        return imports._outcome(run.conversion, words, 0)

    monkeypatch.setattr(imports.Imports, "_convert", convert)
