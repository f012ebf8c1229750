"""What a person does with one picture, over HTTP: trash and back, favourite, recipe, and who may open a folder."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from studio.core.request import GenerationRequest
from studio.server import reveal
from studio.server.app import build_app
from studio.server.policy import Policy
from tests.ui.fake_studio import FakeStudio

Call = Callable[..., httpx.Response]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path, step_seconds=0)
    yield studio
    studio.close()


@pytest.fixture
def image(studio: FakeStudio) -> str:
    job = studio.submit(GenerationRequest(prompt="a red heart", steps=2, seed=5))
    for event in studio.follow(job):
        if event.terminal:
            break
    return studio.job(job).images[0]


@pytest.fixture
def call(studio: FakeStudio) -> Call:
    app = build_app(studio, lambda app: app, Policy())

    def call(method: str, path: str, client: str = "127.0.0.1", **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=(client, 50_000))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as session:
                return await session.request(method, path, **options)

        return asyncio.run(run())

    return call


def test_a_picture_goes_to_the_trash_and_comes_back(call: Call, studio: FakeStudio, image: str) -> None:
    before = call("GET", f"/images/{image}").content
    assert call("DELETE", f"/images/{image}").status_code == 200
    assert call("GET", f"/images/{image}").status_code == 404
    assert studio.images() == []
    assert call("POST", f"/images/{image}/restore").status_code == 200
    assert call("GET", f"/images/{image}").content == before
    assert call("DELETE", "/images/unknown").status_code == 404


def test_another_site_deletes_nothing(call: Call, studio: FakeStudio, image: str) -> None:
    refused = call("DELETE", f"/images/{image}", headers={"origin": "http://evil.example"})
    assert refused.status_code == 403
    assert len(studio.images()) == 1


def test_a_favourite_is_marked_and_unmarked(call: Call, studio: FakeStudio, image: str) -> None:
    assert call("PUT", f"/images/{image}/favourite").json() == {"favourite": True}
    assert [view.id for view in studio.images(favourites=True)] == [image]
    assert call("GET", f"/images/{image}/recipe").json()["favourite"] is True
    assert call("DELETE", f"/images/{image}/favourite").json() == {"favourite": False}
    assert studio.images(favourites=True) == []


def test_the_recipe_is_there_to_read_and_to_copy(call: Call, image: str) -> None:
    found = call("GET", f"/images/{image}/recipe").json()
    assert ["Prompt", "a red heart"] in found["rows"]
    assert found["text"].startswith("a red heart\nSteps: 2, ")
    assert found["recipe"]["request"]["prompt"] == "a red heart"


@pytest.mark.parametrize(
    ("client", "headers", "opened"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("192.168.0.7", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}, False),
    ],
)
def test_a_folder_opens_only_for_a_visitor_at_this_machine(
    call: Call, image: str, monkeypatch: pytest.MonkeyPatch, client: str, headers: dict[str, str], opened: bool
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(reveal, "command", lambda path: ["open", str(path)])
    monkeypatch.setattr(reveal.subprocess, "Popen", lambda command, **_: seen.append(command))
    answer = call("POST", f"/images/{image}/reveal", client=client, headers=headers)
    assert answer.is_success == opened
    assert len(seen) == opened
    assert call("GET", f"/images/{image}/recipe", client=client, headers=headers).json()["opens"] == opened


def test_without_a_screen_no_folder_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveal.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not reveal.available()
