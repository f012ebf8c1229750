"""The server as a process: it says where it is, answers, and ends in order however it is asked to."""

import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from studio.server.serve import QUIET_SECONDS, Once
from tests.sweeps import one_in

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.serve_script", *flags],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"the process ended without saying {words!r}: {process.stderr and process.stderr.read()}")


def address(process: subprocess.Popen[str]) -> str:
    return read_until(process, "Unnoise is at").split()[3]


@pytest.mark.parametrize("number", one_in(2, [signal.SIGTERM, signal.SIGINT]))
def test_a_signal_ends_it_in_order(start: Start, number: signal.Signals) -> None:
    process = start()
    url = address(process)
    assert httpx.get(f"{url}health").json()["status"] == "ok"
    process.send_signal(number)
    out, errors = process.communicate(timeout=300)
    assert out.splitlines() == ["closed", "ended"]
    assert errors == ""
    assert process.returncode == 0


@pytest.mark.parametrize("path", one_in(3, ["events?job=job0:0", "jobs/job0/events", "events"]))
def test_an_open_page_does_not_keep_it_alive(start: Start, path: str) -> None:
    process = start()
    url = address(process)
    with httpx.stream("GET", f"{url}{path}") as events:
        assert "event: " in next(events.iter_text())
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=300)
    assert out.splitlines() == ["closed", "ended"]
    assert errors == ""


def test_a_signal_while_the_page_is_drawn_closes_the_studio(start: Start) -> None:
    process = start("--slow")
    read_until(process, "drawing")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=300)
    assert out.splitlines() == ["closed", "ended"]


def test_the_guard_stands_before_the_real_server(start: Start) -> None:
    url = address(start())
    assert httpx.get(f"{url}health", headers={"host": "evil.com"}).status_code == 421
    assert httpx.get(f"{url}health", headers={"origin": "http://evil.com"}).status_code == 403
    answer = httpx.get(f"{url}health")
    assert "server" not in answer.headers
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "origin": "http://evil.com"}
    assert httpx.get(f"{url}queue", headers=upgrade).status_code == 403


def test_a_studio_that_cannot_be_opened_leaves_no_server(start: Start) -> None:
    process = start("--broken")
    out, errors = process.communicate(timeout=300)
    assert "Unnoise is at" not in out
    assert "the studio cannot be opened" in errors
    assert process.returncode == 1


def test_an_error_that_comes_again_and_again_is_logged_once_a_minute() -> None:
    now = [0.0]
    once = Once(clock=lambda: now[0])

    def passes(message: str, error: Exception | None = None) -> bool:
        info = (type(error), error, None) if error else None
        return once.filter(logging.LogRecord("asyncio", logging.ERROR, "x.py", 1, message, (), info))

    assert passes("socket.accept() out of system resource\nsocket: <socket fd=1>", OSError(24, "Too many open files"))
    assert not passes(
        "socket.accept() out of system resource\nsocket: <socket fd=2>", OSError(24, "Too many open files")
    )
    assert passes("socket.accept() out of system resource", OSError(23, "Too many open files in system"))
    assert passes("Exception in ASGI application", ValueError("a"))
    assert not passes("Exception in ASGI application", ValueError("a"))
    now[0] = QUIET_SECONDS + 1
    assert passes("Exception in ASGI application", ValueError("a"))


def test_a_client_that_leaves_while_it_sends_leaves_no_traceback(start: Start) -> None:
    process = start()
    url = httpx.URL(address(process))
    for path in ("/jobs", "/inputs"):
        with socket.create_connection((url.host, url.port or 80)) as client:
            client.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{{".encode())
        assert httpx.get(f"{url}health").status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == ""
