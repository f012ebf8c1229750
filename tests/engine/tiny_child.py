"""The converter's process for tests: families are as small as the folders named in the environment; all else is the real one."""

import os
import sys
from pathlib import Path

from studio.manager.conversion.converter import main
from tests.models import single_files

SOURCE = "UNNOISE_TEST_SOURCE_"  # and the family's name

if __name__ == "__main__":
    for name, folder in os.environ.items():
        if name.startswith(SOURCE):
            single_files.shrink(name.removeprefix(SOURCE), Path(folder))
    sys.exit(main())
