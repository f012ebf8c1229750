"""A picture is judged by its header before anybody decodes it."""

import io
import struct
import zlib

import pytest
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.pictures import FORMATS, MAX_PIXELS, Header, read_header


def saved(format: str, size: tuple[int, int] = (10, 6)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size).save(out, format)
    return out.getvalue()


def claimed(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of any size."""
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(body)) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize("format", FORMATS)
def test_formats_on_the_list_are_read(format: str) -> None:
    assert read_header(saved(format)) == Header(format, 10, 6)


@pytest.mark.parametrize(
    "data", [saved("GIF"), saved("TIFF"), b"", b"<html>", saved("PNG")[:24], b"%!PS-Adobe-3.0 EPSF"]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a picture that can be read"):
        read_header(data)


@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (100_000, 100_000), (MAX_PIXELS + 1, 1)])
def test_a_picture_that_would_fill_the_memory_is_refused_from_its_header(width: int, height: int) -> None:
    with pytest.raises(InvalidRequest, match="more than 32 million pixels"):
        read_header(claimed(width, height))


def test_the_largest_picture_passes() -> None:
    assert read_header(claimed(8000, 4000)).width == 8000
