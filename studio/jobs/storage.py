"""The studio's private folder, its lock, safe writing, and a sentence for each error of the disk.

Depends on paths and error numbers alone, not on what is stored.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.errors import StorageError

PRIVATE = ".unnoise"  # the studio's own folder inside the outputs folder

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def explain(error: OSError | sqlite3.Error, doing: str) -> StorageError:
    """One sentence for a person: what could not be done, and what would help."""
    text = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or "disk is full" in text:
        why = "the disk is full. Free some space."
    elif number in _REFUSED or "readonly" in text or "read-only" in text:
        why = "the outputs folder may not be written to. Change its permissions, or start with another --outputs."
    elif isinstance(error, OSError) and number is not None:
        why = f"{os.strerror(number).lower()}. Check the outputs folder."
    elif "unable to open" in text:
        why = "the outputs folder cannot be opened for writing. Check that it exists and may be written to."
    else:
        why = f"the index of jobs and images reports: {error}."
    return StorageError(f"Could not {doing}: {why}")


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns what the disk or SQLite raises inside into a StorageError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise explain(error, doing) from error


def below(folder: Path, *parts: str) -> Path:
    """`folder/parts...`; raises if that would leave the folder (a link or a ".." in what was stored)."""
    path = folder.joinpath(*parts).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise StorageError("This path leaves the outputs folder and is refused.")
    return path


def write_atomically(path: Path, data: bytes) -> None:
    """The file is there whole or not at all. Not fsynced, so only for caches that can be made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


class FolderLock:
    """One studio at a time for an outputs folder. The system releases it when the process ends, however it ends.

    What is locked is the studio's private folder itself where the system can do that, else a file in it: a lock file could be
    deleted, and a second studio would lock another one of the same name.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises StorageError if another studio has the folder, OSError if the folder cannot be written."""
        if self._descriptor is not None and self._is_there():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lockable(self._folder)
        if not _lock(descriptor):
            os.close(descriptor)
            raise StorageError(
                "Another Unnoise is running with this outputs folder. Close it, or start with another --outputs."
            )
        self.release()
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _is_there(self) -> bool:
        """False if what is locked was deleted, and perhaps made anew."""
        assert self._descriptor is not None
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(_lockable(self._folder)))
        except OSError:
            return False


def _lockable(folder: Path) -> Path:
    return folder / "lock" if sys.platform == "win32" else folder  # on Windows an open file cannot be deleted


def _open_lockable(folder: Path) -> int:
    path = _lockable(folder)
    return os.open(path, os.O_RDONLY) if path is folder else os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True
