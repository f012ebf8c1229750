"""Clients that send slowly, or not at all, or open too many connections, against uvicorn's protocol with a clock of ours."""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from studio.server import connections
from studio.server.connections import HEADER_SECONDS, PIECE, STALL_SECONDS, Connection


class Loop:
    """What a protocol asks of its event loop: timers, which the test lets run, and tasks, which are not run."""

    def __init__(self) -> None:
        self.now, self.timers = 0.0, list[Any]()

    def call_later(self, seconds: float, act: Callable[[], None]) -> Any:
        timer = _Timer(self.now + seconds, act)
        self.timers.append(timer)
        return timer

    def create_task(self, work: Any) -> Any:
        work.close()
        return _Task()

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for timer in [each for each in self.timers if each.at <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.act()


class _Timer:
    def __init__(self, at: float, act: Callable[[], None]):
        self.at, self.act, self.cancelled = at, act, False

    def cancel(self) -> None:
        self.cancelled = True


class _Task:
    def add_done_callback(self, act: Any) -> None: ...


class Transport(asyncio.Transport):
    def __init__(self, address: str):
        super().__init__()
        self.address, self.closed = address, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": (self.address, 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Server:
    def __init__(self) -> None:
        self.loop, self.state = Loop(), ServerState()

        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        self.config = uvicorn.Config(app, log_level="error", lifespan="off", loop="none")
        self.config.load()

    def connect(self, address: str = "192.0.2.1") -> tuple[Connection, Transport]:
        transport = Transport(address)
        connection = Connection(self.config, self.state, {}, _loop=self.loop)  # type: ignore[arg-type]
        connection.connection_made(transport)
        if transport.closed:
            connection.connection_lost(None)
        return connection, transport


@pytest.fixture
def server() -> Server:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return Server()


def test_headers_that_drip_are_cut_off_and_so_is_silence(server: Server) -> None:
    silent, dripping = server.connect(), server.connect()
    for byte in b"GET / HTTP/1.1\r\n"[:9]:
        assert not silent[1].closed and not dripping[1].closed
        dripping[0].data_received(bytes([byte]))
        server.loop.pass_by(HEADER_SECONDS / 9)
    server.loop.pass_by(0.1)
    assert silent[1].closed and dripping[1].closed


def test_a_request_whose_headers_are_there_has_all_the_time_it_needs(server: Server) -> None:
    connection, transport = server.connect()
    server.loop.pass_by(HEADER_SECONDS - 1)
    connection.data_received(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    server.loop.pass_by(100 * HEADER_SECONDS)
    assert not transport.closed


def test_a_body_may_be_long_but_may_neither_stall_nor_drip(server: Server) -> None:
    steady, dripping = server.connect(), server.connect()
    for connection, _ in (steady, dripping):
        connection.data_received(b"POST /inputs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n")
    for _ in range(20):
        server.loop.pass_by(STALL_SECONDS - 1)
        steady[0].data_received(b"x" * PIECE)
        if not dripping[1].closed:
            dripping[0].data_received(b"x")
    assert dripping[1].closed and not steady[1].closed
    steady[0].flow.read_paused = True  # the application has not read what came so far
    server.loop.pass_by(STALL_SECONDS)
    assert not steady[1].closed
    steady[0].flow.read_paused = False
    server.loop.pass_by(STALL_SECONDS)
    assert steady[1].closed


def test_a_body_that_is_whole_has_all_the_time_it_needs(server: Server) -> None:
    connection, transport = server.connect()
    connection.data_received(b"POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nab")
    connection.data_received(b"cd")
    server.loop.pass_by(100 * STALL_SECONDS)
    assert not transport.closed


def test_connections_are_counted_in_all_and_by_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 6)
    monkeypatch.setattr(connections, "MOST_OF_ONE_ADDRESS", 4)
    one = [server.connect("192.0.2.1") for _ in range(5)]
    assert [transport.closed for _, transport in one] == [False] * 4 + [True]
    others = [server.connect(f"192.0.2.{number}") for number in (2, 3, 4)]
    assert [transport.closed for _, transport in others] == [False, False, True]
    one[0][0].connection_lost(None)
    assert not server.connect("192.0.2.4")[1].closed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_files_are_left_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    for files, expected in ((100, 50), (10**6, connections.MOST), (resource.RLIM_INFINITY, connections.MOST)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert connections.most_connections() == expected
