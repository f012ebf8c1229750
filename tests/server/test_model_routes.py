"""A model's picture over HTTP: asked for by the model's id alone, which is no path."""

import asyncio
from pathlib import Path

import httpx
import pytest

from studio.core.errors import InvalidRequest, NotFound
from studio.server.app import build_app
from studio.server.policy import Policy
from tests.server.memory_studio import MemoryStudio


class Studio(MemoryStudio):
    """Has one picture."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.asked: list[str] = []

    def preview(self, model: str) -> bytes:
        self.asked.append(model)
        if model == "broken":
            raise InvalidRequest("The preview is damaged.")
        if model != "checkpoints/a b+ü":
            raise NotFound("preview", model)
        return b"\xff\xd8picture"


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def get(studio: Studio, path: str, **options: object) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(build_app(studio, lambda app: app, Policy()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as client:
            return await client.get(path, **options)  # type: ignore[arg-type]

    return asyncio.run(run())


def test_a_model_s_picture_is_asked_for_by_its_id(studio: Studio) -> None:
    answer = get(studio, "/previews", params={"model": "checkpoints/a b+ü"})
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8picture")
    assert answer.headers["content-type"] == "image/jpeg" and "sandbox" in answer.headers["content-security-policy"]
    assert "max-age=300" in answer.headers["cache-control"]


@pytest.mark.parametrize("model", ["../../etc/passwd", "/etc/passwd", "checkpoints/a", "\x00", "."])
def test_what_is_no_model_s_id_reads_nothing(studio: Studio, model: str) -> None:
    answer = get(studio, "/previews", params={"model": model})
    assert answer.status_code == 404 and set(answer.json()) == {"error", "field"}


def test_a_missing_or_endless_id_never_reaches_the_catalog(studio: Studio) -> None:
    assert get(studio, "/previews").status_code == 422
    assert get(studio, "/previews", params={"model": "x" * 5000}).status_code == 422
    assert studio.asked == []


def test_a_damaged_picture_is_a_sentence(studio: Studio) -> None:
    answer = get(studio, "/previews", params={"model": "broken"})
    assert (answer.status_code, answer.json()["error"]) == (422, "The preview is damaged.")


def test_another_site_gets_none(studio: Studio) -> None:
    for headers, status in (({"host": "evil.example"}, 421), ({"origin": "https://evil.example"}, 403)):
        assert get(studio, "/previews?model=x", headers=headers).status_code == status
    assert studio.asked == []
