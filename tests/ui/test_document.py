"""The document names what the page loads at once, and is otherwise what Gradio made it."""

import re

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.testclient import TestClient

from studio.ui.assets import STATIC, behaviour, when_opened
from studio.ui.document import FIRST, Beginning, beginning, modules_at_once


def test_modules_are_those_of_the_components_and_all_that_they_import() -> None:
    found = modules_at_once([behaviour("bar.js"), when_opened("gallery.js", "gallery"), "", behaviour("bar.js")])
    assert found[0] == "bar.js" and len(found) == len(set(found))
    assert "gallery.js" not in found
    for name in found:
        for other in re.findall(r'from "\./(\S+)"', (STATIC / name).read_text(encoding="utf-8")):
            assert other in found


def test_only_the_page_itself_is_changed() -> None:
    app = FastAPI()
    page = "<html><head><title>é</title></head><body></head></body></html>"
    app.get("/")(lambda: HTMLResponse(page))
    app.get("/report.html")(lambda: HTMLResponse(page))
    app.get("/health")(lambda: PlainTextResponse("</head>"))
    app.add_middleware(Beginning, text=beginning(["bar.js"]))
    client = TestClient(app)
    assert client.get("/report.html").text == page and client.get("/health").text == "</head>"
    text = client.get("/").text
    assert text.replace(beginning(["bar.js"]), "") == page
    assert (STATIC / FIRST).read_text(encoding="utf-8") in text.split("</head>")[0]
