"""The converter's process for tests: families are as small as the folders named in the environment; all else is real."""

import os
import sys
import time
from pathlib import Path

import pytest

from studio.manager.conversion import converter
from studio.manager.conversion.component import ComponentFile
from tests.models import single_files

SOURCE = "UNNOISE_TEST_SOURCE_"  # and a family's name: the folder that it is as small as
HOLD = "UNNOISE_TEST_HOLD"  # a file with a component's name: while it is there, that component is not done


def shrink_families() -> None:
    """For the rest of this process's life."""
    for name, folder in os.environ.items():
        if name.startswith(SOURCE):
            single_files.shrink(pytest.MonkeyPatch(), name.removeprefix(SOURCE), Path(folder))


def hold_back(file: Path) -> None:
    convert = converter.convert

    def held(component: ComponentFile, *arguments: object) -> None:
        convert(component, *arguments)  # type: ignore[arg-type]
        while file.exists() and component.name in file.read_text():
            time.sleep(0.01)

    converter.convert = held


if __name__ == "__main__":
    shrink_families()
    if HOLD in os.environ:
        hold_back(Path(os.environ[HOLD]))
    sys.exit(converter.main())
