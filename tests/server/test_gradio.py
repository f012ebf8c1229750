"""The guard over a real Gradio page: what Gradio leaves open by itself is shut, and the page still works."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio
import httpx
import pytest

from studio.server.app import build_app
from studio.server.guard import Guard
from studio.server.policy import Policy
from tests.server.memory_studio import MemoryStudio

Call = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def page() -> Callable[[Any], Any]:
    with gradio.Blocks() as blocks:
        text = gradio.Textbox(label="Text")
        text.submit(lambda value: value.upper(), text, text, api_name="upper")
    blocks.queue(api_open=False)
    return lambda app: gradio.mount_gradio_app(
        app, blocks, path="/", run_history=False, footer_links=[], enable_monitoring=False, ssr_mode=False
    )


@pytest.fixture
def app(page: Callable[[Any], Any], tmp_path: Path) -> Guard:
    return build_app(MemoryStudio(tmp_path), page, Policy(credentials="anna:secret"))  # type: ignore[arg-type]


@pytest.fixture
def call(app: Guard) -> Call:
    credentials = "Basic " + base64.b64encode(b"anna:secret").decode()

    def call(method: str, path: str, *, known: bool = True, **options: Any) -> httpx.Response:
        headers = {"authorization": credentials} if known else {}
        headers |= options.pop("headers", {})

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(run())

    return call


def routes_of(app: Any) -> list[tuple[str, str]]:
    """(method, path) of every route of the application and of what is mounted in it, parameters filled in."""
    found = []
    for route in getattr(app, "routes", []):
        if hasattr(route, "methods") or hasattr(route, "path_regex"):
            path = route.path
            for name in getattr(route, "param_convertors", {}):
                path = path.replace("{" + name + "}", "1").replace("{" + name + ":path}", "1")
            found += [(method, path or "/") for method in (getattr(route, "methods", None) or {"GET"})]
        found += routes_of(getattr(route, "app", None))
        found += routes_of(getattr(route, "original_router", None))
    return found


def test_no_route_answers_without_passing_the_guard(app: Guard, call: Call) -> None:
    routes = routes_of(app.app)
    assert len(routes) > 60, "Gradio's own routes are among them"
    assert {"/config", "/jobs/1"} <= {path for _, path in routes}
    for method, path in routes:
        assert call(method, path, known=False).status_code == 401, path
        assert call(method, path, headers={"host": "evil.com"}).status_code == 421, path
        assert call(method, path, headers={"origin": "http://evil.com"}).status_code == 403, path


def test_an_unknown_path_is_guarded_as_well(call: Call) -> None:
    assert call("GET", "/no/such/thing", known=False).status_code == 401


def test_the_page_itself_opens(call: Call) -> None:
    answer = call("GET", "/")
    assert answer.status_code == 200
    assert "gradio" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    config = call("GET", "/config").json()
    assert config["enable_queue"]
    assert json.dumps(config)


def test_a_foreign_origin_is_never_told_that_it_may_read(call: Call) -> None:
    for path in ("/config", "/gradio_api/info", "/"):
        answer = call("GET", path, headers={"origin": "http://evil.com"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_our_routes_come_before_the_page(call: Call) -> None:
    assert call("GET", "/health").json()["status"] == "ok"


def test_a_cross_site_upload_is_refused(call: Call) -> None:
    """By itself Gradio takes a multipart upload from any site, since a form may send one without asking."""
    upload = {"files": {"files": ("x.html", b"<script>", "text/html")}}
    assert call("POST", "/gradio_api/upload", headers={"origin": "http://evil.com"}, **upload).status_code == 403
    assert call("POST", "/gradio_api/upload", headers={"sec-fetch-site": "cross-site"}, **upload).status_code == 403
    assert call("POST", "/gradio_api/upload", headers={"origin": "http://localhost:7860"}, **upload).status_code == 404


def test_a_file_of_this_machine_is_not_read_for_a_visitor(call: Call, tmp_path: Path) -> None:
    """In an application that it is mounted on, Gradio does not check the paths that a request names."""
    secret = tmp_path / "secret.txt"
    secret.write_text("canary")
    event = {"fn_index": 0, "session_hash": "s", "event_data": None, "trigger_id": None}
    for value in ({"path": str(secret)}, {"path": "/dev/zero", "meta": {"_type": "gradio.FileData"}}):
        assert call("POST", "/gradio_api/queue/join", json=event | {"data": [value]}).status_code == 403
    assert call("POST", "/gradio_api/queue/join", json=event | {"data": ["words"]}).status_code == 200


def test_the_queue_cannot_be_bypassed(call: Call) -> None:
    assert call("POST", "/gradio_api/run/upper", json={"data": ["a"]}).status_code == 404


def test_files_of_the_project_are_not_served(call: Call, root: Path) -> None:
    for path in (root / "app.py", root / "models", Path("/etc/passwd")):
        assert call("GET", f"/gradio_api/file={path}").status_code in (403, 404)


def test_monitoring_and_run_history_are_off(call: Call) -> None:
    assert call("GET", "/monitoring").status_code in (403, 404)
    assert call("GET", "/monitoring/summary").status_code in (403, 404)
    assert call("GET", "/gradio_api/runs").status_code in (403, 404)
