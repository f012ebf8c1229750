"""The converter's process for tests: SD 1 is as small as the test's, as in the test's own process; all else is the real one."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from studio.manager.conversion import converter
from studio.manager.conversion.converter import main
from studio.manager.disk import tokenizers
from studio.manager.families import FAMILIES
from tests.models import single_files, tiny_text

SOURCE = "UNNOISE_TEST_SOURCE"  # the folder that SD 1 is as small as
SLOW = "UNNOISE_TEST_SLOW"  # seconds that each component takes longer


def shrink(source: Path) -> None:
    """Make SD 1 in this process as small as the folder."""
    FAMILIES._items["sd1"] = replace(FAMILIES.get("sd1"), blueprint=single_files.tiny_blueprint(source))
    tokenizers.SIZE = len(tiny_text.clip_tokenizer().get_vocab())


def slow_down(seconds: float) -> None:
    convert = converter.convert

    def slowly(*arguments: object) -> None:
        convert(*arguments)  # type: ignore[arg-type]
        time.sleep(seconds)

    converter.convert = slowly


if __name__ == "__main__":
    shrink(Path(os.environ[SOURCE]))
    slow_down(float(os.environ.get(SLOW, "0")))
    sys.exit(main())
