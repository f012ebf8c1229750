"""How long a person waits: from the command to a page that answers, to the first image, and for a later one of 20 steps.

Starts `python app.py` as a person would, on a fresh outputs folder, and speaks to it over HTTP. Targets, on two cores:
page under 5 s, first image under 10 s after it, a later one under 2 s.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import ROOT, announce, arguments, model_folder

PATIENCE = 300.0


def main() -> int:
    options = arguments(__doc__ or "", rounds=3).parse_args()
    announce()
    with tempfile.TemporaryDirectory() as folder:
        models, name = model_folder(Path(folder), options.model)
        port = free_port()
        command = [sys.executable, "app.py", "--no-browser", "--port", str(port), "--only-models", str(models), "--outputs", f"{folder}/outputs"]  # fmt: skip
        began = time.monotonic()
        with open(Path(folder) / "log", "w") as log:
            studio = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/", studio)
            page = time.monotonic()
            print(f"  page answers after         {page - began:6.2f} s   (target 5)")
            request = {"model": name, "prompt": "a large red heart", "steps": options.steps, "seed": 1, "dtype": "auto"}
            make(port, request)
            print(f"  first image after the page {time.monotonic() - page:6.2f} s   (target 10)")
            later = [make(port, request | {"seed": 2 + k}) for k in range(options.rounds)]
            print(
                f"  a later one, {options.steps} steps     {min(later):6.2f} s best, {sorted(later)[len(later) // 2]:.2f} s median   (target 2)"
            )
        finally:
            studio.terminate()
            studio.wait(30)
    return 0


def make(port: int, request: dict[str, Any]) -> float:
    """Seconds from the request to its last event."""
    began = time.monotonic()
    job = json.load(post(f"http://127.0.0.1:{port}/jobs", request))["id"]
    for event in follow(f"http://127.0.0.1:{port}/jobs/{job}/events"):
        if event.get("kind") == "failed":
            raise SystemExit(f"the job failed: {event['message']}")
        if event.get("kind") in ("done", "cancelled", "interrupted"):
            break
    return time.monotonic() - began


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=PATIENCE)


def follow(url: str) -> Iterator[dict[str, Any]]:
    """The job's events, from the server's event stream."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


def wait_for(url: str, studio: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if studio.poll() is not None:
                raise SystemExit(f"the studio ended with code {studio.returncode}") from None
            time.sleep(0.05)
    raise SystemExit("the page did not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
