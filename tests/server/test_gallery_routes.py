"""The gallery over HTTP: pages, many pictures at once, the zip, descent and the trash, over a real archive."""

import asyncio
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.storage import PRIVATE
from studio.server.app import build_app
from studio.server.policy import Policy
from studio.server.zipping import zipped
from tests import gallery_pictures as pictures

Call = Callable[..., httpx.Response]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    database = Database(tmp_path / PRIVATE / "studio.db")
    yield Archive(tmp_path, database)
    database.close()


@pytest.fixture
def saved(archive: Archive) -> list[str]:
    """Newest first."""
    asked = pictures.request(random.Random(1)).changed(prompt="a red boat", task={"kind": "text_to_image"})
    made: list[Any] = []
    for number, colour in enumerate(("teal", "navy", "plum")):
        parent = made[0].sha256 if number == 2 else None
        recipe = pictures.recipe(asked.changed(seed=2**63 + number), parent=parent)
        made.append(archive.save(pictures.picture(colour), recipe, "job"))
    return [event.id for event in reversed(made)]


@pytest.fixture
def call(archive: Archive) -> Call:
    studio: Any = SimpleNamespace(
        **{
            name: getattr(archive, name)
            for name in ("gallery", "gallery_counts", "gallery_ids", "relatives", "set_favourite", "thumbnail")
        },
        trashed_file=archive.trashed_file,
        purge_image=archive.purge,
        delete_image=archive.delete,
        restore_image=archive.restore,
        image_file=archive.file,
    )
    app = build_app(studio, lambda app: app, Policy())

    def call(method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as session:
                return await session.request(method, path, **options)

        return asyncio.run(run())

    return call


def test_the_first_page_has_the_total_and_the_next_follows(call: Call, saved: list[str]) -> None:
    first = call("GET", "/gallery", params={"search": "RED -blue", "limit": 2}).json()
    assert [image["id"] for image in first["images"]] == saved[:2]
    assert (first["total"], call("GET", "/gallery/counts").json()["pictures"]) == (3, 3)
    assert first["images"][0]["seed"] == str(2**63 + 2)  # whole
    rest = call("GET", "/gallery", params={"search": "red", "limit": 2, "cursor": first["next"]}).json()
    assert [image["id"] for image in rest["images"]] == saved[2:] and rest["next"] == ""
    assert call("GET", "/gallery/ids", params={"search": "red"}).json() == saved
    assert call("GET", "/gallery", params={"search": "-red"}).json()["total"] == 0


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"size": "1x"}, {"cursor": "x"}, {"sort": "best"}, {"since": "nan"}, {"secret": 1}]
)
def test_nonsense_is_refused_in_a_sentence(call: Call, params: dict[str, Any]) -> None:
    answer = call("GET", "/gallery", params=params)
    assert answer.status_code == 422 and next(iter(params)) in answer.json()["error"]


def test_many_pictures_at_once_and_what_cannot_be_done_is_said(call: Call, archive: Archive, saved: list[str]) -> None:
    assert call("POST", "/gallery/favour", json={"images": saved[:2]}).json() == {"done": 2, "problem": ""}
    assert call("GET", "/gallery", params={"favourites": True}).json()["total"] == 2
    answer = call("POST", "/gallery/trash", json={"images": [saved[0], "unknown", saved[1]]}).json()
    assert answer["done"] == 2 and "unknown" in answer["problem"]
    assert call("GET", "/gallery/ids", params={"trash": True}).json() == saved[:2]
    assert call("GET", f"/trash/{saved[0]}").headers["content-type"] == "image/png"
    assert call("GET", f"/thumbnails/{saved[0]}").status_code == 200
    assert call("POST", "/gallery/restore", json={"images": saved[:1]}).json()["done"] == 1
    assert call("POST", "/gallery/purge", json={"images": saved[:2]}).json()["done"] == 1  # only what lies in the trash
    assert call("GET", "/gallery").json()["total"] == 2
    assert call("GET", f"/trash/{saved[1]}").status_code == 404
    for body in ({}, {"images": "abc"}, {"images": [1]}, {"images": ["../x"]}):
        assert call("POST", "/gallery/trash", json=body).status_code == 422
    assert call("POST", "/gallery/burn", json={"images": saved}).status_code == 404
    assert (
        call("POST", "/gallery/trash", json={"images": saved}, headers={"origin": "http://evil.example"}).status_code
        == 403
    )


def test_a_zip_holds_the_files_as_they_are(call: Call, archive: Archive, saved: list[str]) -> None:
    archive.delete(saved[1])
    answer = call("POST", "/gallery/zip", data={"images": ",".join([*saved, "unknown"])})
    assert answer.headers["content-disposition"].startswith('attachment; filename="unnoise-')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        files = [archive.file(image) for image in (saved[0], saved[2])]
        assert {name: found.read(name) for name in found.namelist()} == {file.name: file.read_bytes() for file in files}
    assert call("POST", "/gallery/zip", data={"images": "../etc"}).status_code == 422


def test_the_zip_is_a_stream_that_numbers_equal_names_and_leaves_out_what_is_gone(tmp_path: Path) -> None:
    files = [tmp_path / folder / "a.png" for folder in ("one", "two", "three")]
    for number, file in enumerate(files[:2]):
        file.parent.mkdir()
        file.write_bytes(bytes([number]) * 600_000)
    parts = list(zipped(files))
    assert len(parts) > 4 and max(map(len, parts)) < 400_000
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as found:
        assert found.namelist() == ["a.png", "a-2.png"] and found.read("a-2.png") == files[1].read_bytes()


def test_descent_goes_both_ways(call: Call, saved: list[str]) -> None:
    newest = call("GET", f"/images/{saved[0]}/relatives").json()
    assert [image["id"] for image in newest["made_from"]] == [saved[2]] and newest["made_into"] == []
    oldest = call("GET", f"/images/{saved[2]}/relatives").json()
    assert [image["prompt"] for image in oldest["made_into"]] == ["a red boat"]
