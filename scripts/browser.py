"""Finds the browser that the browser tests drive, installing Debian's chromium where that is possible.

Prints the browser's path. Refuses to download a browser build of its own: what a person browses with is what is tested.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)


def find() -> str | None:
    """The named browser (UNNOISE_BROWSER), else the first installed one, else None."""
    named = os.environ.get("UNNOISE_BROWSER")
    if named:
        return shutil.which(named)
    candidates = [shutil.which(name) for name in NAMES] + [place for place in PLACES if Path(place).is_file()]
    return next((found for found in candidates if found and _answers(found)), None)


def install() -> None:
    """Debian's chromium package, where this process may install it; elsewhere nothing happens."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        # The output of the package manager goes to stderr: stdout carries the path alone.
        subprocess.run(["apt-get", *command], env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)


def _answers(path: str) -> bool:
    # Ubuntu's chromium package is a script that only says that a snap is wanted.
    if sys.platform == "win32":
        return True
    answer = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return answer.returncode == 0


def main() -> int:
    found = find()
    if found is None and "UNNOISE_BROWSER" not in os.environ:
        install()
        found = find()
    if found is None:
        print("The browser tests need Chromium or Chrome: install one, or name it in UNNOISE_BROWSER.", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
