"""What every test relies on: no network, no telemetry, a browser where one is installed. What was not run is said."""

import os
import runpy
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# Read by libraries when they are imported, so they are set before any test module is.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
# Two processes on two cores: a thread each, and none that spins while it waits. Who sets these has it their way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A slow machine is no failure: nothing here is timed.
hypothesis.settings.register_profile("studio", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("studio")

NOT_RUN = pytest.StashKey[int]()  # tests of sweeps that were left out, as one process or a worker of xdist counts them


def pytest_deselected(items: list[pytest.Item]) -> None:
    stash = items[0].config.stash
    stash[NOT_RUN] = stash.get(NOT_RUN, 0) + sum(item.get_closest_marker("sweep") is not None for item in items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["not_run"] = session.config.stash.get(NOT_RUN, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[NOT_RUN] = getattr(node, "workeroutput", {}).get("not_run", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if number := config.stash.get(NOT_RUN, 0):
        terminalreporter.write_line(f"NOT RUN: {number} sweep tests (make test-all)")


LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """The studio needs no network, and neither does its test suite: a connection that leaves the machine is an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def browser_path() -> str:
    """The installed Chromium or Chrome; `make test` sees to one, and a missing one fails rather than skips."""
    found = runpy.run_path(str(ROOT / "scripts" / "browser.py"))["find"]()
    if found is None:
        pytest.fail("no Chromium or Chrome was found: run `make test`, or name one in UNNOISE_BROWSER")
    return found
