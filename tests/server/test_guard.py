"""The guard as an ASGI application: nothing behind it is reached by a request that it refuses."""

import asyncio
from typing import Any

import pytest

from studio.server.guard import Guard
from studio.server.policy import Policy

HOST = (b"host", b"localhost")


class Behind:
    """An application that remembers whether it was reached and reads the body as a real one does."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        more = scope["type"] == "http"
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
        await send({"type": "http.response.body", "body": b"reached"})


def call(
    guard: Guard, scope: dict[str, Any], messages: list[dict[str, Any]] | None = None
) -> tuple[int, dict[str, str], list[dict[str, Any]]]:
    sent: list[dict[str, Any]] = []
    waiting = list(messages or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(guard(scope, receive, send))
    start = next((m for m in sent if m["type"].endswith("start")), {"status": 0, "headers": []})
    return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, sent


def http(*extra: tuple[bytes, bytes], method: str = "GET", path: str = "/x") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [*extra], "query_string": b""}


def websocket(*extra: tuple[bytes, bytes], denial: bool = False) -> dict[str, Any]:
    extensions = {"websocket.http.response": {}} if denial else {}
    return {"type": "websocket", "path": "/ws", "headers": [*extra], "extensions": extensions}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"host", b"evil.com")], 421),
        ([], 421),
        ([HOST, (b"origin", b"http://evil.com")], 403),
        ([HOST, (b"sec-fetch-site", b"cross-site")], 403),
        ([HOST], 401),
    ],
)
def test_a_refused_request_never_reaches_the_application(headers: list[tuple[bytes, bytes]], status: int) -> None:
    behind = Behind()
    got, answer, sent = call(Guard(behind, Policy(credentials="a:b")), http(*headers))
    assert got == status
    assert behind.scopes == []
    assert sent[-1]["body"].decode().strip().endswith(".")
    assert answer["content-type"] == "text/plain; charset=utf-8"
    assert ("www-authenticate" in answer) == (status == 401)


@pytest.mark.parametrize("denial", [True, False])
@pytest.mark.parametrize("headers", [[(b"host", b"evil.com")], [HOST, (b"origin", b"http://evil.com")], [HOST]])
def test_a_refused_websocket_is_never_accepted(headers: list[tuple[bytes, bytes]], denial: bool) -> None:
    behind = Behind()
    guard = Guard(behind, Policy(credentials="a:b"))
    status, _, sent = call(guard, websocket(*headers, denial=denial), [{"type": "websocket.connect"}])
    assert behind.scopes == []
    assert "websocket.accept" not in [m["type"] for m in sent]
    assert (status in (401, 403, 421)) if denial else sent[0]["type"] == "websocket.close"


def test_an_admitted_websocket_is_accepted() -> None:
    origin = (b"origin", b"http://localhost")
    _, _, sent = call(Guard(Behind(), Policy()), websocket(HOST, origin), [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.accept"}]


def test_every_answer_carries_the_security_headers_and_keeps_its_own() -> None:
    _, answer, _ = call(Guard(Behind(), Policy()), http(HOST))
    assert answer["x-content-type-options"] == "nosniff"
    assert answer["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors 'none'" in answer["content-security-policy"]
    assert "http:" not in answer["content-security-policy"]
    assert answer["cross-origin-resource-policy"] == "same-origin"


def test_a_refusal_carries_them_too() -> None:
    _, answer, _ = call(Guard(Behind(), Policy()), http((b"host", b"evil.com")))
    assert answer["x-frame-options"] == "DENY"


def test_an_uploaded_file_can_never_run_as_a_page() -> None:
    _, answer, _ = call(Guard(Behind(), Policy()), http(HOST, path="/gradio_api/file=/tmp/x.html"))
    assert "sandbox" in answer["content-security-policy"]
    assert "script-src" not in answer["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/gradio_api/proxy=https://x.hf.space/", "/gradio_api/file=https://example.com/a.png"]
)
def test_gradio_fetches_nothing_for_a_visitor(path: str) -> None:
    behind = Behind()
    status, _, _ = call(Guard(behind, Policy()), http(HOST, path=path))
    assert status == 404
    assert behind.scopes == []


def test_an_announced_body_over_the_cap_is_refused_unread() -> None:
    behind = Behind()
    status, _, _ = call(Guard(behind, Policy(), max_body=10), http(HOST, (b"content-length", b"11"), method="POST"))
    assert status == 413
    assert behind.scopes == []


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"", b"9" * 400])
def test_a_nonsense_length_is_refused(length: bytes) -> None:
    status, _, _ = call(Guard(Behind(), Policy(), max_body=10), http(HOST, (b"content-length", length), method="POST"))
    assert status == 413


def test_an_unannounced_body_is_cut_off_at_the_cap() -> None:
    behind = Behind()
    pieces = [{"type": "http.request", "body": b"12345678", "more_body": True} for _ in range(3)]
    status, _, _ = call(Guard(behind, Policy(), max_body=10), http(HOST, method="POST"), pieces)
    assert status == 413
    assert len(behind.body) <= 10


def test_a_body_at_the_cap_passes() -> None:
    behind = Behind()
    pieces = [{"type": "http.request", "body": b"12345", "more_body": more} for more in (True, False)]
    status, _, _ = call(Guard(behind, Policy(), max_body=10), http(HOST, method="POST"), pieces)
    assert (status, behind.body) == (200, b"1234512345")


def test_an_error_behind_the_guard_stays_an_error() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("behind")

    with pytest.raises(RuntimeError, match="behind"):
        call(Guard(broken, Policy()), http(HOST))


def test_a_head_request_is_refused_without_a_body() -> None:
    status, _, sent = call(Guard(Behind(), Policy()), http((b"host", b"evil.com"), method="HEAD"))
    assert (status, sent[-1]["body"]) == (421, b"")


def test_the_lifespan_passes() -> None:
    behind = Behind()
    call(Guard(behind, Policy(credentials="a:b")), {"type": "lifespan"})
    assert behind.scopes == ["lifespan"]
