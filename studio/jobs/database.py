"""One SQLite file: opened when first needed, upgraded, moved aside when damaged, created again when it was deleted.

Provides transactions, independent of what the tables mean. Safe from several threads and processes.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.errors import StorageError
from studio.jobs.schema import UPGRADES, VERSION
from studio.jobs.storage import explained

log = logging.getLogger(__name__)

BUSY_SECONDS = 15.0
CHECKED_BYTES = 128 * 2**20  # larger files are not checked at every start


class Database:
    """`with database.write("queue a job") as db: db.execute(...)` is one transaction; the words go into the error."""

    def __init__(self, path: Path):
        self.path = path
        self.damaged: Path | None = None  # where a damaged predecessor was moved
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._closed = False
        self._opened: list[Callable[[], None]] = []

    def on_open(self, act: Callable[[], None]) -> None:
        """Call `act` each time the file has been opened, and now if it is open."""
        with self._lock:
            self._opened.append(act)
            if self._connection is not None:
                act()

    @contextmanager
    def read(self, doing: str) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(doing):
            yield self._ensure()

    @contextmanager
    def write(self, doing: str) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed, or nothing."""
        with self._lock, explained(doing):
            connection = self._ensure()
            if connection.in_transaction:  # nested in the same thread: part of the outer transaction
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """For good: later calls raise StorageError."""
        with self._lock:
            self._closed = True
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ensure(self) -> sqlite3.Connection:
        if self._connection is not None and not self._gone():
            return self._connection
        if self._closed:
            raise StorageError("The studio has been closed.")
        self._drop()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _open(self.path)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self.damaged = _move_aside(self.path)
            log.warning(
                "The index of jobs and images was damaged and has been moved aside as %s. Your images are untouched.",
                self.damaged.name,
            )
            self._connection = _open(self.path)
        self._inode = os.stat(self.path).st_ino
        try:
            for act in self._opened:
                act()
        except BaseException:
            self._drop()
            raise
        return self._connection

    def _gone(self) -> bool:
        """True if the file was deleted or replaced while open; SQLite would go on writing to the deleted one."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if path.stat().st_size <= CHECKED_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(f"malformed: {verdict}")
        _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StorageError(
                "The outputs folder was written by a newer Unnoise. Update this one, or start with another --outputs."
            )
        for step in UPGRADES[version:]:
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    text = str(error).lower()
    return "malformed" in text or "not a database" in text


def _move_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):
        side = path.with_name(path.name + suffix)
        if side.exists():
            os.replace(side, aside.with_name(aside.name + suffix))
    os.replace(path, aside)
    return aside
