"""The studio's errors: few classes, each carrying one sentence that can be shown to a person as it stands.

Refuses to know who shows it: the form puts it beside `field`, the CLI prints it, a job stores it.
"""

from difflib import get_close_matches

SHOWN = 60  # names in one sentence
MOST_COMPARED = 2000


class StudioError(Exception):
    """Base of all errors meant for people. `str(error)` is one or two plain sentences; `field` names the input at fault."""

    def __init__(self, message: str, *, field: str | None = None):
        super().__init__(message)
        self.field = field


class InvalidRequest(StudioError):
    """A value of a request is outside what its field, or the chosen model, accepts."""


class UnknownName(InvalidRequest):
    """A name that no registry or table holds. The message lists the legal names."""

    def __init__(self, kind: str, name: str, legal: list[str], *, field: str | None = None):
        shown = repr(name if len(name) <= 80 else name[:77] + "...")
        names = ", ".join(legal[:SHOWN]) or "(none)"
        more = f" and {len(legal) - SHOWN} more" if len(legal) > SHOWN else ""
        near = _alike(name, legal)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"Unknown {kind} {shown}.{meant} Choose one of: {names}{more}.", field=field)
        self.kind, self.name, self.legal = kind, name, legal


def _alike(name: str, legal: list[str]) -> list[str]:
    """Of the legal names those spelled like it, by the last part of a path, whatever the case."""
    short = {one.rpartition("/")[2].lower(): one for one in legal[:MOST_COMPARED]}
    return [short[one] for one in get_close_matches(name[:80].rpartition("/")[2].lower(), short, n=2, cutoff=0.6)]


class NotFound(UnknownName):
    """A job, image or input that is not there, or no longer."""

    def __init__(self, kind: str, name: str):
        InvalidRequest.__init__(self, f"There is no {kind} {name[:80]!r}; it may have been removed.")
        self.kind, self.name, self.legal = kind, name, []


class ModelError(StudioError):
    """A model file or folder cannot be loaded; says what is wrong with it."""


class StorageError(StudioError):
    """A file could not be written or read: full disk, read-only folder, missing file."""


class NonFinite(StudioError):
    """The denoiser or the decoder produced NaN or infinity; nothing is saved."""


class OutOfMemory(StudioError):
    """The device's memory, or the budget set, does not suffice; the message carries the arithmetic."""


class Cancelled(StudioError):
    """Raised inside a run when its job was cancelled."""

    def __init__(self) -> None:
        super().__init__("Cancelled.")
