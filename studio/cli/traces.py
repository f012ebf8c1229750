"""The studio's traces, with a copy in a file that the person names."""

import shutil
from collections.abc import Callable
from pathlib import Path

from studio.core.errors import InvalidRequest, StorageError
from studio.core.request import GenerationRequest
from studio.jobs.traces import TraceStore


class Copied(TraceStore):
    """`copy`: the file for the trace of the one picture that is made; None for none."""

    def __init__(self, folder: Path, cap: int, copy: Path | None):
        super().__init__(folder, cap)
        self.copy = copy.expanduser().absolute() if copy else None
        self.copied = False

    @property
    def keeps(self) -> bool:
        return self.copy is not None or super().keeps

    def check(self, request: GenerationRequest) -> None:
        """Raises InvalidRequest before any work."""
        if self.copy is None:
            return
        if request.count > 1:
            raise InvalidRequest("--trace is of one picture; leave --count out.")
        if self.copy.is_dir() or not self.copy.parent.is_dir():
            raise InvalidRequest(f"--trace {self.copy.name} is a folder, or lies in one that is not there.")

    def check_copied(self) -> None:
        """Raises StorageError where a run has left no trace to copy."""
        if self.copy is not None and not self.copied:
            raise StorageError(
                f"The picture is made, but {self.copy.name} was not written: traces are kept of runs of one model, and not of "
                "very long or large ones."
            )

    def put(self, pixels: str, write: Callable[[Path], None]) -> None:
        def both(path: Path) -> None:
            write(path)
            if self.copy is not None:
                try:
                    shutil.copyfile(path, self.copy)
                except OSError as error:
                    raise StorageError(f"Could not write {self.copy.name}: {error.strerror}.") from error
                self.copied = True

        super().put(pixels, both)
