"""`models import MODEL`: converts a single file to a diffusers folder, in the dtype that it runs in, ahead of its first use.

The converter runs in a process of its own, as in the studio. Progress goes to stderr, the folder's path to stdout.
"""

import json
import sys
from pathlib import Path

from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.jobs.storage import PRIVATE

LINES = 20  # lines of progress where stderr is no terminal


def import_model(path: Path, settings: Settings, dtype: str, *, as_json: bool) -> None:
    """Raises StudioError; InvalidRequest for a file outside the models folders, which no form would offer."""
    from studio import compat

    compat.prepare()
    from studio.engine.precision import first_dtype
    from studio.manager.manager import Manager

    manager = Manager(settings)
    models = manager.catalog.models()
    paths = {info.id: manager.catalog.path(info.id) for info in models}
    info = next((info for info in models if (at := paths[info.id]) and at.absolute() == path.absolute()), None)
    if info is None:
        raise InvalidRequest(f"{path.name} lies outside the models folders; name its folder with --models.")
    dtype = first_dtype(dtype, info, manager, settings.outputs / PRIVATE / "precision")
    conversion = manager.conversion(info, dtype)
    progress = Progress(info.title, as_json)
    folder = manager.imports.folder(conversion, progress.show)
    progress.end()
    print(json.dumps({"model": info.id, "dtype": dtype, "folder": str(folder)}) if as_json else folder)


class Progress:
    """On a terminal one line that is overwritten; elsewhere up to LINES lines, as JSON with --json."""

    def __init__(self, title: str, as_json: bool):
        self._title, self._as_json = title, as_json
        self._over = sys.stderr.isatty() and not as_json
        self._said: tuple[str, int] | None = None

    def show(self, what: str, fraction: float | None) -> None:
        step = (what, int((fraction or 0.0) * (100 if self._over else LINES)))
        if step == self._said:
            return
        self._said = step
        if self._as_json:
            print(json.dumps({"what": what, "fraction": fraction}), file=sys.stderr, flush=True)
            return
        share = f", {fraction:.0%}" if fraction is not None else ""
        start, end = ("\r\x1b[K", "") if self._over else ("", "\n")
        print(f"{start}{self._title}: {what}{share}", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._over:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
