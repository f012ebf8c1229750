"""Serves a desk in memory, as `app.py` serves the real one; writes "closed" when the desk was closed. Run as a process."""

import sys
import tempfile
from pathlib import Path

from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.server.serve import serve
from tests.server.memory_desk import MemoryDesk


class ToldDesk(MemoryDesk):
    def close(self) -> None:
        print("closed", flush=True)


def open_desk(settings: Settings) -> ToldDesk:
    print("opened", flush=True)
    desk = ToldDesk(Path(tempfile.gettempdir()))
    desk.submit(GenerationRequest())
    if "--broken" in sys.argv:
        raise RuntimeError("the desk cannot be opened")
    return desk


def mount(app, desk):
    if "--slow" in sys.argv:
        print("drawing", flush=True)
        sys.stdin.read()
    return app


if __name__ == "__main__":
    serve(Settings(port=0, open_browser=False), open_desk, mount)
    print("ended", flush=True)
