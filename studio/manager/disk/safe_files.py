"""Lists folders and opens files that may be anything, reads bounded JSON from them, and makes their words fit to be shown.

Knows no format but JSON, and no model.
"""

import json
import os
import stat
import unicodedata
from pathlib import Path
from typing import Any, BinaryIO

from studio.core.errors import ModelError

MAX_JSON = 8 << 20
MAX_LISTS = 500_000  # in one JSON file; a tokenizer's merges are the most that is known
UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NOT_A_FILE = "This is not a file but a folder, a pipe, a socket or a device."


def open_file(path: Path) -> BinaryIO:
    """Open a regular file, and nothing else: a named pipe would block, a device never ends. Raises ModelError, OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelError(NOT_A_FILE)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # swapped in between
        file.close()
        raise ModelError(NOT_A_FILE)
    return file


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size; raises ModelError with the file's name."""
    where = readable(f"{path.parent.name}/{path.name}")
    try:
        with open_file(path) as file:
            data = file.read(MAX_JSON + 1)
    except ModelError:
        raise ModelError(f"{where} is not a file.") from None
    except OSError:
        raise ModelError(f"{where} is missing or cannot be read.") from None
    if len(data) > MAX_JSON or data.count(b"[") + data.count(b"{") > MAX_LISTS:
        raise ModelError(f"{where} is larger than any configuration.")
    try:
        value = json.loads(data.decode("utf-8-sig"))
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # half a pair of surrogates cannot be encoded
    except (ValueError, RecursionError):
        raise ModelError(f"{where} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{where} does not hold a JSON object.")
    return value


def json_or_nothing(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} where there is none that can be read."""
    try:
        return read_json(path)
    except ModelError:
        return {}


def stamp(path: Path) -> tuple[str, int, int]:
    """(path, size, mtime), which change when the file does; a size of -1 where nothing is."""
    try:
        stat = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), stat.st_size, stat.st_mtime_ns


def size_of(file: Path) -> int:
    """Bytes; 0 for a file that is not there."""
    return max(stamp(file)[1], 0)


def listed(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name; nothing if it was seen before or cannot be read."""
    try:
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            return []
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
    seen.add((stat.st_dev, stat.st_ino))
    return found


def shown(name: str, most: int = 80) -> str:
    """Words of a file, fit for a sentence: short, and without invisible characters."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def readable(name: str) -> str:
    """A file's name as one line of text: invalid UTF-8, control characters and marks of direction become U+FFFD."""
    if name.isprintable():
        return name
    hidden = (unicodedata.category(letter) in UNSEEN or letter in DIRECTION_MARKS for letter in name)
    return "".join("\ufffd" if unseen else letter for letter, unseen in zip(name, hidden, strict=True))
