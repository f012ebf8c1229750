"""The real page, the real server and its guard, a real browser; a studio that draws with a pencil stands for the worker."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from studio.core.protocol import Studio
from studio.server.app import build_app
from studio.server.policy import Policy
from studio.ui.mount import mount
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

PATIENCE_MS = 180_000  # a slow machine is no failure; nothing here waits longer than it must
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


@contextmanager
def served(studio: Studio) -> Iterator[str]:
    """The studio over this studio, in a thread of its own, on a free port; yields its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
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


@pytest.fixture(scope="module")  # Playwright keeps an event loop running in this thread, which no later test may find
def browser(browser_path: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens the page and waits until it can be used; without `wait` it is the bare page. `context` opens it as another tab of the
    same visitor. Whatever a test does, the page must send no other host a request and raise no error of its own."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(
        address: str, *, context: BrowserContext | None = None, query: str = "", wait: bool = True, **options: Any
    ) -> Window | Page:
        if context is None:
            context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        _watch(page, address, faults)
        page.goto(address + "/" + query, wait_until="commit")
        return Window(page) if wait else page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def window(visit: Callable[..., Window], address: str, studio: FakeStudio) -> Window:
    return visit(address)


def _watch(page: Page, address: str, faults: list[str]) -> None:
    def console(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(noise in message.text for noise in NOISE):
            faults.append(f"console: {message.text} {message.location.get('url', '')}")

    page.on("console", console)
    page.on("pageerror", lambda error: faults.append(f"page: {error}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:", "blob:")) else faults.append(f"asked {request.url}")
        ),
    )
