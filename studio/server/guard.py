"""The one ASGI guard before every route: judges, caps bodies, and puts the security headers on every answer.

It wraps the finished application, Gradio included, so a route added later cannot be forgotten. What is allowed is
decided in `policy`; here it is only enforced, over HTTP and websockets alike.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from studio.server.policy import Policy, Refusal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 64 * 2**20

# Gradio writes inline scripts and styles and compiles its components' code, so those stay allowed; no other host does.
PAGE_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# What people uploaded may be shown as a picture, but never run as a page of ours.
FILE_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
FILE_PREFIXES = ("/gradio_api/file=", "/file=")
# Routes of Gradio that fetch an address for whoever asks. Nothing here needs them.
SHUT_PREFIXES = ("/gradio_api/proxy=", "/gradio_api/file=http:", "/gradio_api/file=https:")

COMMON_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not "no-referrer": with it a browser sends "Origin: null" from our own page.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)


class Guard:
    """`Guard(app, policy)` is an ASGI application; `max_body` bounds what a request may send, in bytes."""

    def __init__(self, app: Application, policy: Policy, *, max_body: int = MAX_BODY):
        self.app = app
        self.policy = policy
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        send = _with_headers(scope, send)
        refusal = self.policy.judge(scope["headers"], method=scope.get("method", "GET"), path=scope["path"])
        if refusal is None and scope["path"].lower().startswith(SHUT_PREFIXES):
            refusal = Refusal(404, "There is nothing here.")
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._capped(scope, receive, send)

    async def _capped(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application on a body of at most `max_body` bytes, whether its length was announced or not."""
        too_large = Refusal(413, f"The request is larger than {self.max_body // 2**20} MiB, the most that is accepted.")
        lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
        if any(not length.isdigit() or int(length[:20]) > self.max_body for length in lengths):
            await _refuse(scope, receive, send, too_large)
            return
        received, overflowed, started = 0, False, False

        async def counted_receive() -> Message:
            nonlocal received, overflowed
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                overflowed = True
                return {"type": "http.disconnect"}
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started
            if overflowed and not started:
                return  # whatever the application makes of the cut body, the answer is ours
            started = True
            await send(message)

        try:
            await self.app(scope, counted_receive, watched_send)
        except Exception:
            if not overflowed:
                raise
        if overflowed and not started:
            await _refuse(scope, receive, send, too_large)


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await receive()  # the client's opening, which must be taken before it is answered
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.sentence[:120]})
            return
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    body = (refusal.sentence + "\n").encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refusal.challenge:
        headers.append((b"www-authenticate", b'Basic realm="Unnoise", charset="UTF-8"'))
    if refusal.status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is never read
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _with_headers(scope: Scope, send: Send) -> Send:
    """Adds the security headers to an answer; a route that set one of them itself keeps its own."""
    csp = FILE_CSP if scope["path"].startswith(FILE_PREFIXES) else PAGE_CSP
    wanted = (*COMMON_HEADERS, (b"content-security-policy", csp.encode()))

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            present = {name.lower() for name, _ in message.get("headers", ())}
            added = [pair for pair in wanted if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return send_with_headers
