"""`serve`: the studio in the browser. Flags -> Settings -> server; connects the page with the studio."""

import os
from typing import Any

from studio.cli.flags import Parser
from studio.cli.settings import add_settings, settings_from
from studio.core.settings import Settings
from studio.server.serve import serve


def main(argv: list[str]) -> int:
    settings = parse(argv)

    from studio.studio import Studio

    serve(settings, Studio, _mount)
    return 0


def parse(argv: list[str]) -> Settings:
    """The settings that the flags name; raises InvalidRequest."""
    parser = Parser(prog="python -m studio serve", description="Open the studio in the browser.")
    add_settings(parser)
    return settings_from(parser.parse_args(argv))


def _mount(app: Any, studio: Any) -> Any:
    # Gradio reads this when it is imported, and would send telemetry without it. Importing it takes seconds, so it comes
    # last: the worker is already starting beside it.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from studio.ui.stubs import no_stubs

    with no_stubs():
        from studio.ui.mount import mount

    return mount(app, studio)
