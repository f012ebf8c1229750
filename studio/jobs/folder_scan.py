"""Finds out what a person did in the outputs folder and its trash: files that are new, were moved between them, or are gone.

A folder is read again only when it has changed, so a look costs one `stat` a day of pictures. Depends on names alone; what a
new file holds is for the archive to read.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from studio.jobs.database import Database
from studio.jobs.gallery import GONE, HERE, TRASHED
from studio.jobs.trash import TRASH

DAYS = "????-??-??"
SETTLED_NS = 2_000_000_000  # what changed more recently may change again within one tick of the disk's clock


class FolderScan:
    """`enter(path)` adds a new file to the index, if it carries a recipe."""

    def __init__(self, outputs: Path, database: Database, enter: Callable[[Path], bool]):
        self.outputs = outputs
        self._database = database
        self._enter = enter
        self._seen: dict[str, tuple[int, ...]] = {}  # name of a day's folder -> when it and its trash had changed
        self._foreign: set[tuple[str, int]] = set()  # files without a recipe, as they were: no need to read them again
        self._lock = threading.Lock()

    def look(self, saving: Callable[[], set[str]]) -> None:
        """Bring the index up to date. `saving()`: names of files that are being written just now, which are left alone."""
        with self._lock:
            for day in sorted(self._days()):
                changed = tuple(_changed(folder) for folder in self._folders(day))
                if self._seen.get(day) == changed:
                    continue
                if self._update(day, saving) and max(changed) < time.time_ns() - SETTLED_NS:
                    self._seen[day] = changed

    def _days(self) -> set[str]:
        """The folders of days there are or were; "" is the outputs folder itself."""
        found = {path.name for folder in (self.outputs, self.outputs / TRASH) for path in folder.glob(DAYS)}
        return {"", *found, *self._seen}

    def _folders(self, day: str) -> tuple[Path, Path]:
        return self.outputs / day, self.outputs / TRASH / day

    def _update(self, day: str, saving: Callable[[], set[str]]) -> bool:
        """False if there is something left to do at the next look."""
        try:
            here, trashed = map(_names, self._folders(day))
        except OSError:
            return False  # unreadable just now, which does not mean that the pictures are gone
        busy = saving()  # before the index is read: what is no longer being saved is in it
        prefix = f"{day}/" if day else ""
        with self._database.read("read the index of images") as db:
            rows = db.execute("SELECT rowid, path, location FROM images WHERE path >= ? AND path < ?", _range(prefix))
            known = {
                row["path"]: (row["rowid"], row["location"]) for row in rows if "/" not in row["path"][len(prefix) :]
            }
        moved = []
        for path, (rowid, location) in known.items():
            name = path[len(prefix) :]
            now = HERE if name in here else TRASHED if name in trashed else GONE
            if now != location and not (now == GONE and (self.outputs / path).is_file()):  # it has just come
                moved.append((now, rowid))
        if moved:
            with self._database.write("note where the images are") as db:
                db.executemany("UPDATE images SET location = ? WHERE rowid = ?", moved)
        new = [name for name in here if name.lower().endswith(".png") and prefix + name not in known]
        return not [name for name in sorted(new) if name in busy or not self._add(prefix + name)]

    def _add(self, name: str) -> bool:
        """False if the file is still being written, as far as one can tell: then it is tried again."""
        path = self.outputs / name
        version = name, _changed(path)
        if version in self._foreign or self._enter(path):
            return True
        if version[1] > time.time_ns() - SETTLED_NS:
            return False
        self._foreign.add(version)
        return True


def _range(prefix: str) -> tuple[str, str]:
    """All paths that begin with `prefix`."""
    return prefix, f"{prefix[:-1]}0" if prefix else "\U0010ffff"  # "0" is the character after "/"


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)}
    except FileNotFoundError:
        return set()


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
