"""The ASGI guard around every route: refuses requests, limits bodies, and sets the security headers of every answer.

It wraps the finished application, Gradio included, so a route added later cannot be forgotten. What is allowed is
decided in `policy`, `logins` and `limits`; here it is enforced, over HTTP and websockets alike.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from studio.server.limits import ALL_BYTES, body_limit, is_gradio, judge_gradio_body, judge_path
from studio.server.logins import Logins
from studio.server.policy import Policy, Refusal

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Gradio writes inline scripts and styles and compiles its components' code, so those stay allowed; no other host does.
PAGE_CSP = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
COMMON_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not "no-referrer": with it a browser sends "Origin: null" from our own page.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)


class Guard:
    """`Guard(app, policy)` is an ASGI application; `limit_of` bounds what a request to a path may send, in bytes."""

    def __init__(
        self,
        app: Application,
        policy: Policy,
        *,
        limit_of: Callable[[str], int] = body_limit,
        all_bytes: int = ALL_BYTES,
    ):
        self.app = app
        self.policy = policy
        self._limit_of, self._all_bytes = limit_of, all_bytes
        self._logins = Logins()
        self._held = 0  # bytes of the bodies that are being received or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        refusal = self._judge(scope)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        elif is_gradio(scope["path"]) and scope["method"] not in ("GET", "HEAD"):
            await self._limited(_gradio_checked(self.app), scope, receive, send)
        else:
            await self._limited(self.app, scope, receive, send)

    def _judge(self, scope: Scope) -> Refusal | None:
        refusal = self.policy.judge(scope["headers"], method=scope.get("method", "GET"), path=scope["path"])
        if self.policy.credentials is not None and (refusal is None or refusal.challenge):
            given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
            if given:
                client = scope.get("client") or ("", 0)
                refusal = self._logins.judge(client[0], b"\n".join(given), refusal)
        return refusal or judge_path(scope["path"])

    async def _limited(self, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs the application on a body within the route's limit, whether its length was announced or not."""
        limit = self._limit_of(scope["path"])
        lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
        if any(not length.isdigit() or int(length[:20]) > limit for length in lengths):
            await _refuse(scope, receive, send, _too_large(limit))
            return
        received, started, gone = 0, False, False
        refusal: Refusal | None = None

        async def counted_receive() -> Message:
            nonlocal received, refusal, gone
            message = await receive()
            size = len(message.get("body", b""))
            received, self._held = received + size, self._held + size
            if received > limit:
                refusal = _too_large(limit)
            elif size and self._held > self._all_bytes:
                refusal = Refusal(503, "The studio is receiving too much at once; try again in a moment.")
            gone = gone or message["type"] == "http.disconnect"
            return {"type": "http.disconnect"} if refusal else message

        async def watched_send(message: Message) -> None:
            nonlocal started
            if refusal and not started:
                return  # whatever the application answers to the cut body, the refusal is sent instead
            started = True
            await send(message)

        try:
            await app(scope, counted_receive, watched_send)
        except Exception:
            if (
                not refusal and not gone
            ):  # a client that has gone needs no answer, and its half body is no error of ours
                raise
        finally:
            self._held -= received
        if refusal and not started:
            await _refuse(scope, receive, send, refusal)


def _gradio_checked(app: Application) -> Application:
    """`app` behind a check that the body of a request to Gradio names no files."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        body, message = bytearray(), await receive()
        while message["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
            message = await receive()
        else:
            return  # the client has gone
        if (refusal := judge_gradio_body(bytes(body))) is not None:
            await _refuse(scope, receive, send, refusal)
            return
        whole = {"type": "http.request", "body": bytes(body), "more_body": False}

        async def received() -> Message:
            nonlocal whole
            if whole:
                message, whole = whole, {}
                return message
            return await receive()

        await app(scope, received, send)

    return checked


def _too_large(limit: int) -> Refusal:
    size = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 2**10} KiB"
    return Refusal(413, f"The request is larger than {size}, the most that is accepted here.")


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await receive()  # the client's opening message, which must be received before it is answered
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
    if refusal.status in (413, 503):
        headers.append((b"connection", b"close"))  # the rest of the body is never read
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _with_headers(send: Send) -> Send:
    """Adds the security headers to an answer; a route that set one of them itself keeps its own."""
    wanted = (*COMMON_HEADERS, (b"content-security-policy", PAGE_CSP.encode()))

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            present = {name.lower() for name, _ in message.get("headers", ())}
            added = [pair for pair in wanted if pair[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return send_with_headers
