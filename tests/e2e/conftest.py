"""The real page, the real server and its guard, a real browser; a studio that draws with a pencil stands for the worker."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, expect, sync_playwright

from studio.core.protocol import Studio
from studio.server.app import build_app
from studio.server.policy import Policy
from studio.ui.mount import mount
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

PATIENCE_MS = 180_000  # a slow machine is no failure; nothing here waits longer than it must
SCREEN = {"width": 1280, "height": 800}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What Gradio and Chromium say when a page is left, and when the studio refuses something in words.
NOISE = ("AbortError", "Connection errored out", "WebGL", "status of 422")


_ports = [0]  # the last one: of the studio that was served before


def listening() -> socket.socket:
    """On the port of the studio before, if that is free again: to a browser the same scripts, which it has compiled already."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", _ports[-1]))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    _ports[-1] = listener.getsockname()[1]
    return listener


@contextmanager
def served(studio: Studio) -> Iterator[str]:
    """The server over this studio, in a thread of its own, on a free port; yields its address."""
    listener = listening()
    app: Any = build_app(studio, lambda app: mount(app, studio), Policy())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    started = threading.Event()
    startup = server.startup

    async def announce(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert started.wait(PATIENCE_MS / 1000)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def session_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture(scope="session")
def address(session_studio: FakeStudio) -> Iterator[str]:
    with served(session_studio) as address:
        yield address


@pytest.fixture
def studio(session_studio: FakeStudio) -> FakeStudio:
    session_studio.forget()
    return session_studio


class Visitor:
    """A browser context and a page in it that the tests use one after the other, so that the page's scripts are compiled once.

    Whatever a test does, a page must send no other host a request and raise no error of its own; `faults` lists what did.
    """

    def __init__(self, browser: Browser):
        self.browser = browser
        self.context = browser.new_context(
            viewport=SCREEN, reduced_motion="reduce"
        )  # nothing to wait for but what is asked
        self.page: Page | None = None
        self.addresses: list[str] = []  # of the studios that this test visits
        self.faults: list[str] = []

    def own_page(self, viewport: Any) -> Page:
        """The page that the tests share, in this size."""
        if self.page is None or self.page.is_closed():
            self.page = self.new_page(self.context)
        self.page.set_viewport_size(viewport)
        return self.page

    def new_page(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"page: {error}"))
        page.on("request", self._see)
        return page

    def forget(self) -> None:
        """Leave the studio, and forget what it kept in this browser and was allowed there."""
        for page in self.context.pages:
            if page is not self.page:
                page.close()
        if self.page is not None and not self.page.is_closed():
            try:
                self.page.goto(f"{self.addresses[-1]}/health")  # by then the page has written all that it keeps
                self.page.evaluate("sessionStorage.clear()")
            except (Error, IndexError):  # its studio is gone, or there was none
                self.page.close()
        page = self.own_page(SCREEN)
        session = self.context.new_cdp_session(page)
        for origin in set(self.addresses):  # of a studio that is gone too: the next one may have its address
            session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "local_storage"})
        session.detach()
        self.context.clear_permissions()
        self.addresses.clear()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(noise in message.text for noise in NOISE):
            self.faults.append(f"console: {message.text} {message.location.get('url', '')}")

    def _see(self, request: Request) -> None:
        if not request.url.startswith((*self.addresses, "data:", "blob:")):
            self.faults.append(f"asked {request.url}")


@pytest.fixture(scope="package")  # Playwright keeps an event loop running in this thread, which no later test may find
def browser(browser_path: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def visitor(browser: Browser) -> Visitor:
    return Visitor(browser)


@pytest.fixture
def visit(visitor: Visitor) -> Iterator[Callable[..., Window]]:
    """Opens the page and waits until it can be used; without `wait` it is the bare page. `context` opens it as another tab of the
    same visitor; a second visit without it, or with other options than a `viewport`, is by another visitor."""
    others: list[BrowserContext] = []

    def open_page(
        address: str,
        *,
        context: BrowserContext | None = None,
        query: str = "",
        wait: bool = True,
        viewport: Any = SCREEN,
        **options: Any,
    ) -> Window | Page:
        if options or (visitor.addresses and context is None):
            context = visitor.browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
            others.append(context)
        visitor.addresses.append(address)
        page = visitor.new_page(context) if context else visitor.own_page(viewport)
        page.goto(address + "/" + query, wait_until="commit")
        return Window(page) if wait else page

    visitor.faults.clear()
    yield open_page
    for context in others:
        context.close()
    visitor.forget()
    assert visitor.faults == []


@pytest.fixture
def window(visit: Callable[..., Window], address: str, studio: FakeStudio) -> Window:
    return visit(address)
