"""Shows a file in the file manager of this machine. Who may ask for that is decided in `image_routes`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from studio.core.errors import StudioError


def command(path: Path) -> list[str] | None:
    """What shows the file, or None where there is no file manager, as on a server without a screen."""
    if sys.platform == "win32":
        return ["explorer", f"/select,{path}"]
    if sys.platform == "darwin":
        return ["open", "-R", str(path)]
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opener = shutil.which("xdg-open") if screen else None
    return [opener, str(path.parent)] if opener else None


def available() -> bool:
    return command(Path()) is not None


def reveal(path: Path) -> None:
    """Returns at once. Raises StudioError where there is no file manager."""
    found = command(path)
    if found is None:
        raise StudioError("This machine has no file manager to open the folder with.")
    subprocess.Popen(found, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
