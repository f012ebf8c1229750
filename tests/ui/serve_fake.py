"""Serves the real page over a FakeStudio, to look at it: python tests/ui/serve_fake.py [port] [seconds a step]."""

import os
import sys
import tempfile
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main() -> None:
    import uvicorn

    from studio.server.app import build_app
    from studio.server.policy import Policy
    from studio.ui.mount import mount
    from tests.ui.fake_studio import FakeStudio

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7999
    studio = FakeStudio(Path(tempfile.mkdtemp()), float(sys.argv[2]) if len(sys.argv) > 2 else 0.06)
    app = build_app(studio, lambda app: mount(app, studio), Policy())
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
