"""Files as they stood when they were read or mapped, to be compared with what they are later. No torch.

A file that is deleted, or replaced by another of its name, does no harm to whoever has it mapped. One that is written
over or cut short in place does: its pages change under the model, or are no longer there at all, which kills the process.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileState:
    """What tells a file from another, and its state from a later one."""

    path: Path
    file: tuple[int, int]  # device and inode
    state: tuple[int, int]  # size and time of the last change

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Raises OSError."""
        stat = path.stat()
        return cls(path, (stat.st_dev, stat.st_ino), (stat.st_size, stat.st_mtime_ns))

    def changed_in_place(self) -> bool:
        """Whether the very file, if it is still found there, is another now."""
        try:
            now = FileState.of(self.path)
        except OSError:
            return False
        return now.file == self.file and now.state != self.state
