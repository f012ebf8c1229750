"""Where a person's pictures lie: a folder or a zip, as names and bytes. A zip is read in place; nothing of it is unpacked.

Does not depend on what the files are.
"""

import os
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from studio.core.errors import InvalidRequest
from studio.core.pictures import MAX_BYTES, read_file

MOST_FILES = 50_000
MOST_DIRECTORY = 16 * 2**20  # bytes of a zip's list of files
MOST_RATIO = 200  # of the bytes a file unpacks to and those it takes in the zip
SMALL = 2**20  # a text or a blank picture of this many bytes may be packed as well as it can
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"


class Source(Protocol):
    def names(self) -> list[str]:
        """The files, with `/` between folders, sorted."""

    def read(self, name: str) -> bytes:
        """Raises InvalidRequest."""

    def version(self) -> list[object]:
        """What changes when the files do."""


def source(path: Path) -> Source:
    """Raises InvalidRequest, with one sentence, for what is no folder, no zip, or a zip that is not safe to read."""
    if path.is_dir():
        return FolderSource(path)
    if not path.is_file():
        raise InvalidRequest(f"There is no folder or zip called {path.name!r}.", field="data.folder")
    return ZipSource(path)


def _visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


class FolderSource:
    """All files below a folder. Links to folders are not followed, hidden files are left out."""

    def __init__(self, path: Path):
        self.path = path
        self._names: list[str] = []
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(each for each in folders if _visible(each))
            here = Path(folder).relative_to(path)
            self._names += [(here / name).as_posix() for name in files if _visible(name)]
            if len(self._names) > MOST_FILES:
                raise InvalidRequest(
                    f"{path.name} holds more than {MOST_FILES:,} files; choose a folder with the pictures alone.",
                    field="data.folder",
                )
        self._names.sort()

    def names(self) -> list[str]:
        return self._names

    def read(self, name: str) -> bytes:
        return read_file(self.path / name)

    def version(self) -> list[object]:
        out: list[object] = []
        for name in self._names:
            try:
                found = (self.path / name).stat()
                out.append([name, found.st_size, found.st_mtime_ns])
            except OSError:  # gone since, or a link to nothing
                out.append([name])
        return out


class ZipSource:
    """The files of a zip, whose list is checked before any is read."""

    def __init__(self, path: Path):
        self.path = path
        try:
            _check_list(path)
            with zipfile.ZipFile(path) as opened:
                files = [info for info in opened.infolist()[: MOST_FILES + 1] if not info.is_dir()]
        except (OSError, zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, UnicodeError):
            raise InvalidRequest(f"{path.name} is not a zip that can be read.", field="data.folder") from None
        for info in files:
            if reason := _unsafe(info):
                raise InvalidRequest(f"{path.name} is refused: {info.filename[:80]!r} {reason}.", field="data.folder")
        self._files = {info.filename: info for info in files if _visible(info.filename)}

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as opened, opened.open(self._files[name]) as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
            raise InvalidRequest(f"{name} cannot be read from the zip.") from None
        except Exception as error:  # zlib's and lzma's own errors of damaged data
            raise InvalidRequest(f"{name} is damaged in the zip ({type(error).__name__}).") from None
        if len(data) > MAX_BYTES:
            raise InvalidRequest(f"{name} is larger than {MAX_BYTES // 2**20} MiB.")
        return data

    def version(self) -> list[object]:
        return [[name, info.file_size, info.CRC] for name, info in sorted(self._files.items())]


def _check_list(path: Path) -> None:
    """Refuse a zip by its last record, before Python's reader makes an object of each of a million entries."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 22 - 0xFFFF))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0:
        raise zipfile.BadZipFile
    count, directory, start = struct.unpack("<HII", tail[at + 10 : at + 20])
    if (
        count == 0xFFFF
        or directory == 0xFFFFFFFF
        or start == 0xFFFFFFFF
        or tail[max(0, at - 20) : at].startswith(_END_64)
    ):
        raise InvalidRequest(
            f"{path.name} holds more than 65,000 files or 4 GiB; unpack it and choose the folder.", field="data.folder"
        )
    if count > MOST_FILES or directory > MOST_DIRECTORY:
        raise InvalidRequest(f"{path.name} holds more than {MOST_FILES:,} files.", field="data.folder")


def _unsafe(info: zipfile.ZipInfo) -> str:
    """Why the entry makes the whole zip one not to trust, or nothing."""
    name = info.filename
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in name.split("/"):
        return "leads out of the zip"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.file_size > SMALL and info.file_size > MOST_RATIO * max(1, info.compress_size):
        return f"unpacks to more than {MOST_RATIO} times its size"
    return ""
