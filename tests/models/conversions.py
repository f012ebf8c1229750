"""Conversions of single files in the test's own process, where it has made a family as small as its model.

What the child would do is done; that it is a process of its own is tested in tests/manager/test_imports.py.
"""

from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import StudioError
from studio.manager.conversion import converter, imports
from studio.manager.conversion.converted_folders import conversion_of
from studio.manager.disk.catalog import Catalog


def convert_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(self: imports.Imports, run: imports.Run) -> StudioError | None:
        def emit(**words: Any) -> None:
            with self._lock:
                run.what, run.fraction = words["what"], words["fraction"]
            self._emit()

        return imports.outcome(run.conversion, converter.carry_out(run.conversion, self._folders, emit), 0)

    monkeypatch.setattr(imports.Imports, "_convert", convert)


def imported(models: Path, model: str, dtype: str = "fp32") -> Path:
    """The folder that the converter makes of a file in `models`."""
    catalog = Catalog((models,), None)
    info = next(info for info in catalog.models() if info.id == model)
    file = catalog.path(model)
    assert file is not None
    conversion = conversion_of(info, file, dtype, models.parent / "imported", catalog.beside(info))
    converter.import_checkpoint(conversion, (models,))
    return conversion.target
