"""What was learned of files on disk, kept in SQLite so that it is learned once: facts by signature, hashes by size and mtime.

Knows paths and JSON, nothing of models. Losing the index costs time and nothing else, so a folder that cannot be
written, or a broken file, means an index in memory for this run.
"""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE facts (path TEXT PRIMARY KEY, signature TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE hashes (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL);
"""
_CHUNK = 1 << 22


class Index:
    """Safe to use from several threads, and from several processes on one file."""

    def __init__(self, file: Path | None):
        self._lock = threading.Lock()
        self._db = _open(file)

    def facts(self, path: str, signature: str) -> dict[str, Any] | None:
        """The facts stored for `path`, if they were stored under this very signature."""
        with self._lock:
            row = self._db.execute("SELECT signature, facts FROM facts WHERE path = ?", (path,)).fetchone()
        return json.loads(row[1]) if row and row[0] == signature else None

    def snapshot(self) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[int, int, str]]]:
        """Everything at once, for a scan: path -> (signature, facts as JSON), and path -> (size, mtime_ns, sha256)."""
        with self._lock:
            facts = self._db.execute("SELECT path, signature, facts FROM facts").fetchall()
            hashes = self._db.execute("SELECT path, size, mtime_ns, sha256 FROM hashes").fetchall()
        return {row[0]: row[1:] for row in facts}, {row[0]: row[1:] for row in hashes}

    def put_facts(self, rows: list[tuple[str, str, dict[str, Any]]]) -> None:
        """Store (path, signature, facts) rows in one transaction."""
        if rows:
            packed = [(path, signature, json.dumps(facts)) for path, signature, facts in rows]
            self._write("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", packed)

    def known_hash(self, path: Path) -> str | None:
        """The file's SHA-256 if it was computed before and the file has not changed since."""
        stat = path.stat()
        with self._lock:
            row = self._db.execute(
                "SELECT sha256 FROM hashes WHERE path = ? AND size = ? AND mtime_ns = ?",
                (str(path.absolute()), stat.st_size, stat.st_mtime_ns),
            ).fetchone()
        return row[0] if row else None

    def hash(self, path: Path, stop: threading.Event | None = None) -> str:
        """The file's SHA-256, computed once for each (path, size, mtime); "" if `stop` was set. Raises OSError."""
        known = self.known_hash(path)
        if known:
            return known
        stat = path.stat()
        digest = hashlib.sha256()
        for chunk in _chunks(path):
            if stop is not None and stop.is_set():
                return ""
            digest.update(chunk)
        row = (str(path.absolute()), stat.st_size, stat.st_mtime_ns, digest.hexdigest())
        self._write("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", [row])
        return digest.hexdigest()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with self._lock:
            try:
                with self._db:
                    self._db.executemany(statement, rows)
            except sqlite3.OperationalError:
                pass  # a full or read-only disk: what was learned is learned again next time


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _open(file: Path | None) -> sqlite3.Connection:
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _prepare(sqlite3.connect(file, timeout=10, check_same_thread=False))
        except (OSError, sqlite3.DatabaseError):
            pass  # unreadable or unwritable: this run learns anew
    return _prepare(sqlite3.connect(":memory:", check_same_thread=False))


def _prepare(db: sqlite3.Connection) -> sqlite3.Connection:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
        db.executescript(
            "BEGIN IMMEDIATE; DROP TABLE IF EXISTS facts; DROP TABLE IF EXISTS hashes;"
            f"{SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    return db
