"""The user's wildcards: text files in one folder, a choice a line, `#` before a remark. Names never lead out of the folder."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from studio.prompts.errors import PromptError

LARGEST = 2_000_000  # bytes of a file
MOST_FILES = 2000  # that are looked through for names like the one asked for


class Wildcards:
    """Reads each file at most once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._read: dict[str, tuple[str, ...]] = {}

    def __call__(self, name: str) -> Sequence[str]:
        """The lines of the wildcard. Raises PromptError where there is none of that name, or nothing in it."""
        if name not in self._read:
            self._read[name] = self._lines(name)
        return self._read[name]

    def names(self) -> list[str]:
        found: list[str] = []
        for file in self.folder.rglob("*.txt"):
            found.append(file.relative_to(self.folder).with_suffix("").as_posix())
            if len(found) >= MOST_FILES:
                break
        return sorted(found)

    def _lines(self, name: str) -> tuple[str, ...]:
        file = self.folder / f"{name}.txt"
        try:
            inside = ".." not in name and file.resolve().is_relative_to(self.folder.resolve())
            if not inside or not file.is_file():
                raise PromptError(self._unknown(name))
            if file.stat().st_size > LARGEST:
                raise PromptError(f"The wildcard {name} is larger than {LARGEST // 1_000_000} MB.")
            lines = file.read_text(encoding="utf-8-sig", errors="replace").replace("\x00", "").splitlines()
        except OSError:
            raise PromptError(f"The wildcard {name} cannot be read.") from None
        kept = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        if not kept:
            raise PromptError(f"The wildcard {name} has no lines.")
        return kept

    def _unknown(self, name: str) -> str:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
        advice = f"There are: {', '.join(near)}." if near else f"Put {name}.txt, a choice a line, into the folder."
        return f"There is no wildcard {name[:80]!r} in the folder {self.folder.name}. {advice}"
