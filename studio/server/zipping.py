"""A zip of files as a stream: nothing is collected in memory or on the disk, and pictures are stored as they are.

Depends on paths alone.
"""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

CHUNK = 2**18  # bytes


class _Tail:
    """What was written since it was last taken. It cannot seek, so the zip's sizes follow each file's bytes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        data, self._data = bytes(self._data), bytearray()
        return data


def zipped(files: Iterable[Path]) -> Iterator[bytes]:
    """The zip's bytes. A file that is gone by the time it is read is left out; names that occur twice are numbered."""
    tail, names = _Tail(), set[str]()
    with zipfile.ZipFile(tail, "w") as archive:
        for path in files:
            try:
                source, info = path.open("rb"), zipfile.ZipInfo.from_file(path, _free(path.name, names))
            except OSError:
                continue
            with source, archive.open(info, "w") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield tail.take()
    yield tail.take()


def _free(name: str, names: set[str]) -> str:
    stem, dot, suffix = name.rpartition(".")
    free, number = name, 1
    while free in names:
        number += 1
        free = f"{stem}-{number}{dot}{suffix}"
    names.add(free)
    return free
