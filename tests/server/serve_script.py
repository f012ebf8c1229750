"""Serves a studio in memory, as `app.py` serves the real one; writes "closed" when the studio was closed. Run as a process."""

import sys
import tempfile
from pathlib import Path

from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.server.serve import serve
from tests.server.memory_studio import MemoryStudio


class ReportingStudio(MemoryStudio):
    def close(self) -> None:
        print("closed", flush=True)


def open_studio(settings: Settings) -> ReportingStudio:
    print("opened", flush=True)
    studio = ReportingStudio(Path(tempfile.gettempdir()))
    studio.submit(GenerationRequest())
    if "--broken" in sys.argv:
        raise RuntimeError("the studio cannot be opened")
    return studio


def mount(app, studio):
    if "--slow" in sys.argv:
        print("drawing", flush=True)
        sys.stdin.read()
    return app


if __name__ == "__main__":
    serve(Settings(port=0, open_browser=False), open_studio, mount)
    print("ended", flush=True)
