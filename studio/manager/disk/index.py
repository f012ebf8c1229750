"""What was learned of files on disk, kept in SQLite so that it is learned once: facts by signature, a file's hash among them.

Knows paths and JSON, no models. Losing the index costs time and nothing else, so a folder that cannot be written, or a
broken file, means an index in memory for this run.
"""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.manager.disk.safe_files import stamp

SCHEMA_VERSION = 6
SCHEMA = "CREATE TABLE facts (path BLOB PRIMARY KEY, signature TEXT NOT NULL, facts TEXT NOT NULL);"
_CHUNK = 1 << 22


class Index:
    """Safe to use from several threads, and from several processes on one file. Paths are kept as bytes, as disks do."""

    def __init__(self, file: Path | None):
        self._lock = threading.Lock()
        self._db = _open(file)

    def facts(self, path: str, signature: str) -> dict[str, Any] | None:
        """The facts stored for `path`, if they were stored under this very signature."""
        rows = self._read("SELECT signature, facts FROM facts WHERE path = ?", os.fsencode(path))
        return json.loads(rows[0][1]) if rows and rows[0][0] == signature else None

    def snapshot(self) -> dict[str, tuple[str, str]]:
        """Everything at once, for a scan: path -> (signature, facts as JSON)."""
        return {os.fsdecode(row[0]): row[1:] for row in self._read("SELECT path, signature, facts FROM facts")}

    def put_facts(self, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
        """Store (path, signature, facts) rows in one transaction."""
        packed = [(os.fsencode(path), signature, json.dumps(facts)) for path, signature, facts in rows]
        with self._lock:
            try:
                with self._db:
                    self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", packed)
            except sqlite3.DatabaseError:
                pass  # a full, read-only or broken disk: what was learned is learned again next time

    def known_hash(self, path: Path) -> str | None:
        """The file's SHA-256 if it was computed before and the file has not changed since."""
        known = self.facts(*hash_key(path))
        return known["sha256"] if known else None

    def hash(self, path: Path, stop: threading.Event | None = None) -> str:
        """The file's SHA-256, computed once for each (path, size, mtime); "" if `stop` was set. Raises OSError."""
        known = self.known_hash(path)
        if known:
            return known
        before, digest = hash_key(path), hashlib.sha256()
        for chunk in _chunks(path):
            if stop is not None and stop.is_set():
                return ""
            digest.update(chunk)
        if before == hash_key(path):  # else it is still being written
            self.put_facts([(*before, {"sha256": digest.hexdigest()})])
        return digest.hexdigest()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(statement, values).fetchall()
            except sqlite3.OperationalError:
                return []  # held by another process for too long: ask again next time
            except sqlite3.DatabaseError:
                self._db = _prepared(":memory:")
                return []


def hash_key(path: Path) -> tuple[str, str]:
    """What a file's hash is kept under, which changes with the file: (path, signature)."""
    _, size, mtime_ns = stamp(path)
    return f"sha256:{path.absolute()}", f"{size}:{mtime_ns}"


def _chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, without keeping them in the system's cache, where they would push out what models are mapped from."""
    with path.open("rb", buffering=0) as file:
        begin = 0
        while chunk := file.read(_CHUNK):
            yield chunk
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), begin, len(chunk), os.POSIX_FADV_DONTNEED)
            begin += len(chunk)


def _open(file: Path | None) -> sqlite3.Connection:
    """The database; made anew where it is damaged, in memory where none can be kept."""
    for _ in range(2 if file else 0):
        assert file is not None
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(file)
        except (OSError, sqlite3.OperationalError):
            break  # unreadable or unwritable: this run learns anew
        except sqlite3.DatabaseError:
            for part in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
                part.unlink(missing_ok=True)
    return _prepared(":memory:")


def _prepared(file: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=10, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        db.executescript(
            "BEGIN IMMEDIATE; DROP TABLE IF EXISTS facts; DROP TABLE IF EXISTS hashes;"
            f"{SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    return db
