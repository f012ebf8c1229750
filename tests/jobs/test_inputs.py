"""The input store: each picture once, without its metadata; what is too large or broken is refused."""

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.core.errors import InvalidRequest, NotFound
from studio.core.pictures import PixelBudget
from studio.jobs.inputs import InputStore
from tests.jobs.test_archive import picture, png


@pytest.fixture
def store(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


def test_inputs_are_stored_once_without_their_metadata(store: InputStore) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "GPS of my home", 3  # a description; upside down
    digest = store.add(png(picture(), exif=exif))
    assert store.add(png(picture().rotate(180))) == digest
    assert b"my home" not in store.path(digest).read_bytes()
    assert store.open(digest).tobytes() == picture().rotate(180).tobytes()
    assert store.open(store.add(png(picture("RGBA")))).mode == "RGBA"
    assert store.open(store.add(png(picture("P")))).mode == "RGB"


def stored(store: InputStore, picture: Image.Image, format: str = "PNG", **options: object) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return store.open(store.add(buffer.getvalue()))


def test_pictures_of_every_make_are_what_a_viewer_shows(store: InputStore) -> None:
    red, blue = Image.new("RGB", (9, 5), "red"), Image.new("RGB", (9, 5), "blue")
    for format in ("WEBP", "PNG"):  # animated: the first frame
        kept = stored(store, red, format, save_all=True, append_images=[blue], lossless=True)
        assert (kept.mode, kept.getpixel((4, 2))) == ("RGB", (255, 0, 0))
    cmyk = stored(store, Image.new("CMYK", (9, 5), (0, 255, 255, 0)), "JPEG")
    assert (cmyk.mode, cmyk.getpixel((4, 2))) == ("RGB", (255, 0, 0))
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    deep = stored(store, Image.fromarray(ramp))
    assert deep.mode == "L" and np.array_equal(np.asarray(deep), np.arange(256).reshape(16, 16))
    assert stored(store, red.convert("P"), transparency=0).mode == "RGBA"
    for size in ((1, 1), (4000, 1)):
        assert stored(store, red.resize(size)).size == size


@pytest.mark.parametrize("digest", ["", "abc", "../" * 20 + "etc/passwd", "z" * 64, "0" * 64])
def test_inputs_that_are_not_there(store: InputStore, digest: str) -> None:
    with pytest.raises(NotFound):
        store.open(digest)


def test_pictures_that_are_too_large_or_broken_are_refused(store: InputStore) -> None:
    bomb = png(Image.new("1", (8000, 8000)))
    with pytest.raises(InvalidRequest, match="32 million pixels"):
        store.add(bomb)
    whole = png(picture("RGB").resize((300, 300)))
    for data in (whole[: len(whole) // 2], b"GIF89a", b""):
        with pytest.raises(InvalidRequest):
            store.add(data)
    assert not list(store.folder.rglob("*.png"))


def test_what_is_decoded_at_once_is_bounded(store: InputStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of some kilobytes may decode to half a gigabyte; what waits for its turn takes the kilobytes."""
    budget = PixelBudget(250)
    monkeypatch.setattr("studio.metadata.decoding.decoding", budget)
    added: list[str] = []
    with budget.taking(10, 20):
        waits = threading.Thread(target=lambda: added.append(store.add(png(Image.new("L", (10, 10))))))
        waits.start()
        while not budget._changed._waiters:  # type: ignore[attr-defined]
            assert waits.is_alive()
        assert added == []
        store.add(png(Image.new("L", (10, 5))))  # for which there is room
    waits.join(timeout=30)
    assert len(added) == 1
    store.add(png(Image.new("L", (30, 30))))  # larger than all, so alone
    assert budget._taken == 0
