"""The picture beside a model: found, made small, and only ever a picture."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from studio.core.errors import InvalidRequest, NotFound
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.notes import SIDE, small_preview
from tests.models.sparse_headers import CASES, write_sparse


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file, shapes, metadata, _ = CASES["SD 1.5"]
    return write_sparse(tmp_path / "models" / file, shapes, metadata=metadata)


def preview(catalog: Catalog) -> Image.Image:
    (info,) = catalog.models()
    path = catalog.path(info.id)
    assert path is not None
    return Image.open(io.BytesIO(small_preview(info, path)))


@pytest.mark.parametrize("name", ["v1-5.png", "v1-5.preview.png", "v1-5.jpg", "v1-5.preview.webp"])
def test_a_picture_beside_the_file_is_found_though_the_file_was_known_before(model: Path, name: str) -> None:
    catalog = Catalog((model.parent,), None)
    with pytest.raises(NotFound):
        preview(catalog)
    Image.new("RGB", (600, 900), "teal").save(model.parent / name)
    small = preview(catalog)
    assert (small.format, small.size) == ("JPEG", (SIDE * 2 // 3, SIDE))


def test_what_is_clear_becomes_white_and_pictures_stand_upright(model: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGBA", (90, 60), (0, 0, 0, 0)).save(model.with_suffix(".png"), exif=exif)
    small = preview(Catalog((model.parent,), None))
    assert small.size == (60, 90) and small.getpixel((5, 5)) == (255, 255, 255)


def test_what_is_no_picture_or_a_bomb_is_refused_in_a_sentence(model: Path) -> None:
    catalog, file = Catalog((model.parent,), None), model.with_suffix(".png")
    file.write_bytes(b"<script>alert(1)</script>")
    with pytest.raises(InvalidRequest, match="not a picture"):
        preview(catalog)
    out = io.BytesIO()
    Image.new("1", (6000, 6000)).save(out, "PNG")
    file.write_bytes(out.getvalue())
    with pytest.raises(InvalidRequest, match="million pixels"):
        preview(catalog)
    Image.new("RGB", (64, 64), "red").save(out := io.BytesIO(), "PNG")
    file.write_bytes(out.getvalue()[:-40])
    with pytest.raises(InvalidRequest, match="damaged"):
        preview(catalog)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(NotFound):
        preview(catalog)
