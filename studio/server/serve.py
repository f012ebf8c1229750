"""Runs the application until SIGINT or SIGTERM, prints its address, and leaves no process behind."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from studio.core.protocol import Studio
from studio.core.settings import Settings
from studio.server.app import build_app
from studio.server.connections import Connection
from studio.server.door import Door

GRACE_SECONDS = 1  # the connections of an open page end only with the page
QUIET_SECONDS = 60.0  # an error that repeats within this time is logged once


def serve(
    settings: Settings, open_studio: Callable[[Settings], Studio], mount: Callable[[FastAPI, Studio], FastAPI]
) -> None:
    """Serves until SIGINT or SIGTERM, then closes the studio and with it the worker. Blocks.

    The address is bound first: what cannot be bound (InvalidRequest) fails before the studio is opened or the page built.
    """
    with Door.take(settings) as door, _stoppable(), closing(open_studio(settings)) as studio:
        app = build_app(studio, lambda app: mount(app, studio), door.policy)
        _Server(_config(app), lambda: _announce(settings, door)).run(sockets=[door.socket])


class _Server(uvicorn.Server):
    """uvicorn's server, which calls `announce` once it answers."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]):
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _config(app: object) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").addFilter(_is_an_error)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(Once())
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Connection,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a header that anybody can send must not say who or what the caller is
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _is_an_error(record: logging.LogRecord) -> bool:
    """False for the two errors that uvicorn logs when a page was still open at the end."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and "graceful shutdown" not in record.getMessage()


class Once(logging.Filter):
    """Passes an error at most once a minute; a flood of requests may cause the same one again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        known, now = (record.getMessage().partition("\n")[0], repr(error)), self._clock()
        self._logged = {each: at for each, at in self._logged.items() if now - at < QUIET_SECONDS}
        if known in self._logged:
            return False
        self._logged[known] = now
        return True


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl+C does. uvicorn raises the signal again when it has stopped; that one is ignored."""

    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(settings: Settings, door: Door) -> None:
    print(f"Unnoise is at {door.url} (Ctrl+C ends it)", flush=True)
    if settings.open_browser and _has_a_screen():
        threading.Thread(target=webbrowser.open, args=(door.url,), daemon=True).start()


def _has_a_screen() -> bool:
    """Without one, Linux would open a text browser in this terminal."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
