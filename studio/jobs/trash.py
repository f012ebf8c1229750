"""The folder `trash` inside the outputs folder: pictures that were deleted lie there under the path that they had.

Moves files, and never one over another. Depends on paths alone, not on the index.
"""

from pathlib import Path

from studio.core.errors import StorageError
from studio.jobs.saving import move_without_overwriting
from studio.jobs.storage import below, explained

TRASH = "trash"


def throw_away(outputs: Path, path: str) -> None:
    """`path`, relative to the outputs folder, is in the trash afterwards."""
    with explained("move the picture to the trash"):
        _move(below(outputs, path), below(outputs / TRASH, path))


def take_back(outputs: Path, path: str) -> None:
    """`path` is where it was; StorageError if it is not in the trash any more."""
    lost = lying(outputs, path)
    with explained("take the picture out of the trash"):
        _move(lost, below(outputs, path))


def lying(outputs: Path, path: str) -> Path:
    """The file in the trash; StorageError if it is not there any more."""
    lost = below(outputs / TRASH, path)
    if not lost.is_file():
        raise StorageError("This picture is no longer in the trash.")
    return lost


def remove(outputs: Path, path: str) -> None:
    """Delete a file of the trash for good."""
    with explained("delete the picture"):
        lying(outputs, path).unlink()


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    move_without_overwriting(source, target)
    source.unlink(missing_ok=True)  # a hard link was made where the disk has them
