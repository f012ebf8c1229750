"""The address is taken first, and what cannot be bound is said in one sentence."""

import socket
from collections.abc import Iterator

import pytest

from studio.core.errors import InvalidRequest
from studio.core.settings import Settings
from studio.server.door import Door


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_named_port_that_is_in_use_is_refused(busy_port: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"^Port {busy_port} is in use by another program; .*\.$") as caught:
        Door.take(Settings(port=busy_port))
    assert caught.value.field == "port"


def test_an_unnamed_port_that_is_in_use_gives_way_to_the_next(busy_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings.model_fields["port"], "default", busy_port)
    settings = Settings.model_construct(host="127.0.0.1", port=busy_port, auth=None, allow_hosts=(), _fields_set=set())
    with Door.take(settings) as door:
        assert door.port != busy_port


def test_port_zero_takes_a_free_one_and_the_url_says_which() -> None:
    with Door.take(Settings(port=0)) as door:
        assert door.url == f"http://127.0.0.1:{door.port}/"
        with socket.create_connection(("127.0.0.1", door.port), timeout=60):
            pass


def test_a_second_studio_cannot_take_the_same_port() -> None:
    with Door.take(Settings(port=0)) as door, pytest.raises(InvalidRequest, match="in use"):
        Door.take(Settings(port=door.port))


def test_the_port_is_free_again_at_once() -> None:
    with Door.take(Settings(port=0)) as door:
        port = door.port
    with Door.take(Settings(port=port)) as door:
        assert door.port == port


@pytest.mark.parametrize("host", ["203.0.113.9", "no such host", "x" * 300])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an address of this machine"):
        Door.take(Settings(host=host, port=0, auth="a:b"))


def test_an_open_bind_without_credentials_binds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda *_: pytest.fail("bound before it was refused"))
    with pytest.raises(InvalidRequest, match="--auth"):
        Door.take(Settings(host="0.0.0.0", port=0))


def test_a_wildcard_bind_names_an_address_that_a_browser_can_open() -> None:
    with Door.take(Settings(host="0.0.0.0", port=0, auth="a:b")) as door:
        assert door.url == f"http://127.0.0.1:{door.port}/"
