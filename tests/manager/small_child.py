"""The converter's process for tests: families are as small as the folders named in the environment; all else is real."""

import os
import sys
import time
from pathlib import Path

import pytest

from studio.manager.conversion import converter
from studio.manager.conversion.converter import main
from tests.models import single_files

SOURCE = "UNNOISE_TEST_SOURCE_"  # and a family's name: the folder that it is as small as
SLOW = "UNNOISE_TEST_SLOW"  # seconds that each component takes longer


def shrink_families() -> None:
    """For the rest of this process's life."""
    for name, folder in os.environ.items():
        if name.startswith(SOURCE):
            single_files.shrink(pytest.MonkeyPatch(), name.removeprefix(SOURCE), Path(folder))


def slow_down(seconds: float) -> None:
    convert = converter.convert

    def slowly(*arguments: object) -> None:
        convert(*arguments)  # type: ignore[arg-type]
        time.sleep(seconds)

    converter.convert = slowly


if __name__ == "__main__":
    shrink_families()
    slow_down(float(os.environ.get(SLOW, "0")))
    sys.exit(main())
