"""The page's own files (`static/`): where they are served, and how a component is tied to its script.

The address carries a hash of all files' contents, so a browser may keep them for good and never mixes two versions.
"""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).with_name("static")
STYLES = (
    "tokens.css",
    "gradio.css",
    "layout.css",
    "navigation.css",
    "fields.css",
    "prompt_words.css",
    "picture.css",
    "part_cards.css",
    "part_rows.css",
    "weight_strip.css",
    "folder_batch.css",
    "control_image.css",
    "canvas.css",
    "tools.css",
    "side_panel.css",
    "painter.css",
    "strip.css",
    "model_browser.css",
    "model_details.css",
    "prepare.css",
    "shortcuts.css",
    "queue.css",
    "sheet.css",
    "uPlot.min.css",
    "train.css",
    "visualizer.css",
    "lab.css",
    "gallery.css",
    "gallery_view.css",
    "race.css",
)

ALL_STYLES = "styles.css"  # all of them in one file, in this order
FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def version() -> str:
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def address(name: str) -> str:
    """Where a file is found, relative to the page, so that a proxy may put the studio below a path."""
    return f"ui/{version()}/{name}"


def behaviour(script: str) -> str:
    """`js_on_load` of a component that the `mount` of one of our scripts draws and runs."""
    return (
        f"import(new URL('{address(script)}', document.baseURI))"
        ".then((script) => script.mount({ element, props, trigger, watch, server }));"
    )


def when_opened(script: str, tab: str) -> str:
    """The same, once the tab is first opened: a page loads the scripts of no tab that nobody looks at."""
    return (
        f"import(new URL('{address('tabs.js')}', document.baseURI))"
        f".then(({{ tabs }}) => tabs.first('{tab}', () => {{ {behaviour(script)} }}));"
    )


def head() -> str:
    """What goes into the page's head: styles first, so that nothing is drawn without them."""
    styles = f'<link rel="stylesheet" href="{address(ALL_STYLES)}">'
    return f'{styles}\n<link rel="icon" type="image/svg+xml" href="{address("icon.svg")}">'


@cache
def all_styles() -> str:
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)


class _Versioned(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["cache-control"] = FOR_GOOD
        return response


def serve_static(app: FastAPI) -> None:
    @app.get(f"/ui/{version()}/{ALL_STYLES}")
    def styles() -> Response:
        return Response(all_styles(), media_type="text/css", headers={"cache-control": FOR_GOOD})

    app.mount(f"/ui/{version()}", _Versioned(directory=STATIC))
