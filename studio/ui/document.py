"""What the page's document is given before Gradio's own script runs, which puts `head` into the page only when that is drawn:
the addresses of styles and scripts, so that the browser fetches them meanwhile, and one script that must come first.
"""

import re
from collections.abc import Iterable
from functools import cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.ui.assets import ALL_STYLES, STATIC, address

FIRST = "clone.js"  # runs before all others
_IMPORT = re.compile(r'^import [^"]*"\./([\w.]+)";$', re.MULTILINE)
_MODULE = re.compile(r"^import\(new URL\('ui/\w+/(\w+\.js)', document\.baseURI\)\)\.then\(\(script\)")


def modules_at_once(scripts: Iterable[str]) -> list[str]:
    """The files that components with these `js_on_load` load with the page, and all that those import."""
    found: dict[str, None] = {}
    waiting = [match[1] for script in scripts if (match := _MODULE.match(script))]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += _imports(name)
    return list(found)


@cache
def _imports(name: str) -> list[str]:
    return _IMPORT.findall((STATIC / name).read_text(encoding="utf-8"))


def beginning(modules: Iterable[str]) -> str:
    """For the document's head."""
    ahead = [f'<link rel="modulepreload" href="{address(name)}">' for name in modules]
    styles = f'<link rel="preload" as="style" href="{address(ALL_STYLES)}">'
    first = (STATIC / FIRST).read_text(encoding="utf-8")
    return "\n".join([styles, *ahead, f"<script>\n{first}</script>"])


class Beginning:
    """Puts `text` at the end of the document's head; every other answer passes as it is."""

    def __init__(self, app: ASGIApp, text: str):
        self._app, self._text = app, text.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else None
        if path not in ("", "/") or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = b"".join(parts).replace(b"</head>", self._text + b"</head>", 1)
            headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, changed)
