"""The guard as an ASGI application: nothing behind it is reached by a request that it refuses."""

import asyncio
import base64
import json
from typing import Any

import pytest
from starlette.requests import Request

from studio.server.guard import Guard
from studio.server.logins import FREE
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


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd", "file/etc/passwd", "file=https://example.com/a.png", "proxy=https://x.hf.space/", "upload",
        "run/upper", "call/upper", "api/upper", "vibe-edit", "stream/1", "custom_component/1/client/component/x.js",
    ],
)  # fmt: skip
def test_what_the_page_does_not_need_of_gradio_is_not_there(method: str, path: str) -> None:
    behind = Behind()
    status, _, _ = call(Guard(behind, Policy()), http(HOST, method=method, path=f"/gradio_api/{path}"))
    assert status == 404
    assert behind.scopes == []


FILE = {"path": "/dev/zero", "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("route", ["queue/join", "component_server", "reset", "cancel", "queue/join/"])
@pytest.mark.parametrize(
    "body", [FILE, [FILE], {"data": [1, "a", {"deep": [[FILE]]}]}, {"data": [{"path": 3}]}, {"data": [{"path": None}]}]
)
def test_a_request_of_the_page_that_names_a_file_never_reaches_gradio(route: str, body: Any) -> None:
    behind = Behind()
    sent = json.dumps(body).encode()
    pieces = [{"type": "http.request", "body": sent[:9], "more_body": True}, {"type": "http.request", "body": sent[9:]}]
    status, _, _ = call(Guard(behind, Policy()), http(HOST, method="POST", path=f"/gradio_api/{route}"), pieces)
    assert status == 403
    assert behind.scopes == []


@pytest.mark.parametrize(("body", "status"), [(b"not JSON", 400), (b"[" * 10**5, 400), (b"\xff", 400), (b"", 200)])
def test_what_gradio_would_read_otherwise_never_reaches_it(body: bytes, status: int) -> None:
    message = {"type": "http.request", "body": body}
    path = "/gradio_api/queue/join"
    assert call(Guard(Behind(), Policy()), http(HOST, method="POST", path=path), [message])[0] == status


def test_a_request_of_the_page_reaches_gradio_as_it_was_sent() -> None:
    behind = Behind()
    body = json.dumps({"data": ["a path in words", {"steps": 3}, ["path"]], "fn_index": 1}).encode()
    pieces = [{"type": "http.request", "body": body[:5], "more_body": True}, {"type": "http.request", "body": body[5:]}]
    status, _, _ = call(Guard(behind, Policy()), http(HOST, method="POST", path="/gradio_api/queue/join"), pieces)
    assert (status, behind.body) == (200, body)


def test_who_leaves_in_the_midst_of_a_request_leaves_nothing_behind() -> None:
    """Starlette raises ClientDisconnect from the route, and uvicorn would log it as an error of ours."""

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        await Request(scope, receive).body()

    for path in ("/inputs", "/gradio_api/queue/join"):
        pieces = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
        guard = Guard(reads, Policy())
        _, _, sent = call(guard, http(HOST, method="POST", path=path), pieces)
        assert (sent, guard._held) == ([], 0)


def test_bodies_are_bounded_by_route() -> None:
    for path, limit in (
        ("/inputs", 64 * 2**20),
        ("/settings", 64 * 2**20),
        ("/jobs", 2**20),
        ("/gradio_api/queue/join", 2**20),
    ):
        for length, expected in ((limit, 200), (limit + 1, 413)):
            announced = (b"content-length", str(length).encode())
            assert call(Guard(Behind(), Policy()), http(HOST, announced, method="POST", path=path))[0] == expected


def test_bodies_are_bounded_together() -> None:
    """Many at once, each within its limit, must not fill the memory."""

    async def run() -> list[int]:
        go, answered, statuses = asyncio.Event(), asyncio.Event(), list[int]()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            await Request(scope, receive).body()
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                answered.set()

        async def receive() -> Any:
            return {"type": "http.request", "body": b"1234"}

        guard = Guard(waits, Policy(), all_bytes=10)
        requests = [asyncio.create_task(guard(http(HOST, method="POST", path="/inputs"), receive, send)) for _ in "abc"]
        await answered.wait()
        go.set()
        await asyncio.gather(*requests)
        await guard(http(HOST, method="POST", path="/inputs"), receive, send)
        return statuses

    assert asyncio.run(run()) == [503, 200, 200, 200]


def login(guard: Guard, password: str, address: str = "192.0.2.1") -> int:
    given = base64.b64encode(f"anna:{password}".encode())
    scope = http(HOST, (b"authorization", b"Basic " + given)) | {"client": (address, 1)}
    return call(guard, scope)[0]


def test_wrong_passwords_are_slowed_down_by_address() -> None:
    guard = Guard(Behind(), Policy(credentials="anna:secret"))
    assert login(guard, "secret", "192.0.2.7") == 200
    statuses = [login(guard, str(number)) for number in range(20)]
    assert statuses == [401] * FREE + [429] * (20 - FREE)
    assert login(guard, "secret") == 429, "a guess that is right cannot be distinguished from a wrong one"
    assert login(guard, "secret", "192.0.2.7") == 200, "from another address"
    assert call(guard, http(HOST) | {"client": ("192.0.2.1", 1)})[0] == 401, "who gives no password is asked for one"


def test_an_announced_body_over_the_cap_is_refused_unread() -> None:
    behind = Behind()
    status, _, _ = call(
        Guard(behind, Policy(), limit_of=lambda path: 10), http(HOST, (b"content-length", b"11"), method="POST")
    )
    assert status == 413
    assert behind.scopes == []


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"", b"9" * 400])
def test_a_nonsense_length_is_refused(length: bytes) -> None:
    status, _, _ = call(
        Guard(Behind(), Policy(), limit_of=lambda path: 10), http(HOST, (b"content-length", length), method="POST")
    )
    assert status == 413


def test_an_unannounced_body_is_cut_off_at_the_cap() -> None:
    behind = Behind()
    pieces = [{"type": "http.request", "body": b"12345678", "more_body": True} for _ in range(3)]
    status, _, _ = call(Guard(behind, Policy(), limit_of=lambda path: 10), http(HOST, method="POST"), pieces)
    assert status == 413
    assert len(behind.body) <= 10


def test_a_body_at_the_cap_passes() -> None:
    behind = Behind()
    pieces = [{"type": "http.request", "body": b"12345", "more_body": more} for more in (True, False)]
    status, _, _ = call(Guard(behind, Policy(), limit_of=lambda path: 10), http(HOST, method="POST"), pieces)
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
