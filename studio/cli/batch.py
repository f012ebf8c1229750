"""A folder in place of a picture: `--image FOLDER` makes one run of each picture in it, in the order of their names.

What cannot be read is left out and named; Ctrl+C stops, and what was made is kept.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from studio.cli.flags import TASK
from studio.core.errors import InvalidRequest, StudioError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
SOURCE = TASK + "image"


def folder_of(arguments: argparse.Namespace) -> Path | None:
    """The folder that stands where a picture's file is expected; None for a file, and where no picture was given."""
    given = getattr(arguments, SOURCE, None)
    path = Path(given).expanduser() if given else None
    return path if path is not None and path.is_dir() else None


def run_each(
    arguments: argparse.Namespace,
    folder: Path,
    read: Callable[[str], object],  # raises InvalidRequest for what is no picture
    run: Callable[[argparse.Namespace, str], None],  # with what is shown before the progress
) -> None:
    """Raises StudioError at the end if pictures were left out; what is wrong with the other settings ends it at once."""
    pictures = sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
    if not pictures:
        raise InvalidRequest(
            f"There is no picture in the folder {folder.name}; it may hold {', '.join(sorted(SUFFIXES))}."
        )
    left_out = 0
    for number, picture in enumerate(pictures, 1):
        try:
            read(str(picture))
        except InvalidRequest as error:
            print(f"Left out: {error}", file=sys.stderr, flush=True)
            left_out += 1
            continue
        values = vars(arguments) | {SOURCE: str(picture)}
        run(argparse.Namespace(**values), f"picture {number} of {len(pictures)}, ")
    if left_out:
        raise StudioError(f"{left_out} of {len(pictures)} pictures in {folder.name} were left out.")
