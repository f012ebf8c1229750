"""uvicorn's HTTP/1.1 connection with two limits that uvicorn lacks: the number of connections, and time-outs for a request.

A client that sends its headers or its body too slowly is disconnected; so is one connection too many.
"""

import asyncio
import sys

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # from the connection, or the first byte of a later request, to the end of its headers
STALL_SECONDS = 30.0  # for each PIECE of a body, and for its end
PIECE = 16 * 1024  # bytes: a body slower than half a kilobyte a second is not a picture on its way
MOST = 512
MOST_OF_ONE_ADDRESS = 256


class Connection(H11Protocol):
    _timer: asyncio.TimerHandle | None = None
    _arrived: int | None = None  # bytes of a body since its timer began; None while headers are read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections() or self._of_this_address() > MOST_OF_ONE_ADDRESS:
            transport.abort()
        else:
            self._start(HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.SEND_BODY:
            self._body(len(data))
            return
        self._arrived = None
        if self.conn.their_state is h11.IDLE:  # the headers are not complete; their time goes on
            self._start(HEADER_SECONDS)
        else:
            self._stop()

    def _body(self, arrived: int) -> None:
        if self._arrived is not None and (whole := self._arrived + arrived) < PIECE:
            self._arrived = whole
        else:
            self._arrived = 0
            self._stop()
            self._start(STALL_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _start(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._expire)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self.flow.read_paused:  # the server itself has paused reading
            self._start(STALL_SECONDS)
        else:
            self.transport.close()

    def _of_this_address(self) -> int:
        def address(connection: object) -> str | None:
            client = getattr(connection, "client", None)
            return client[0] if client else None

        return [address(each) for each in self.connections].count(address(self))


def most_connections() -> int:
    """MOST, or half of the files that this process may open."""
    if sys.platform == "win32":
        return MOST
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if files == resource.RLIM_INFINITY else min(MOST, max(files // 2, 1))
