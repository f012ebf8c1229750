"""Texts are found wherever programs put them, in any of their encodings, and never cost more than their bound."""

import io
import struct
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.pictures import read_file
from studio.metadata import containers
from studio.metadata.containers import MAX_TEXT, MAX_TOTAL, USER_COMMENT, check_exif, read_texts

TEXT = "a red cat, Füchse, 猫\nSteps: 20, Sampler: Euler, Seed: 1"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, behind: bytes = b"") -> bytes:
    """A real picture with these chunks before its pixels, and some behind them."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    plain = out.getvalue()
    return plain[:33] + b"".join(chunks) + plain[33:-12] + behind + plain[-12:]


def with_exif(format: str, comment: bytes, *, first_directory: bool = False) -> bytes:
    exif = Image.Exif()
    if first_directory:
        exif[0x9286] = comment
    else:
        exif.get_ifd(0x8769)[0x9286] = comment
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, format, exif=exif.tobytes())
    return out.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        chunk(b"tEXt", b"parameters\0" + TEXT.encode()),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(TEXT.encode())),
        chunk(b"iTXt", b"parameters\0\0\0\0\0" + TEXT.encode()),
        chunk(b"iTXt", b"parameters\0\1\0en\0Parameter\0" + zlib.compress(TEXT.encode())),
    ],
)
def test_every_kind_of_png_text_is_read_before_and_behind_the_pixels(body: bytes) -> None:
    assert read_texts(png(body)) == {"parameters": TEXT}
    assert read_texts(png(behind=body)) == {"parameters": TEXT}


def test_latin_1_is_still_read() -> None:
    assert read_texts(png(chunk(b"tEXt", b"parameters\0" + "für".encode("latin-1")))) == {"parameters": "für"}


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_exif_comments_are_read_in_either_byte_order(encoding: str, format: str) -> None:
    assert read_texts(with_exif(format, b"UNICODE\x00" + TEXT.encode(encoding))) == {USER_COMMENT: TEXT}


@pytest.mark.parametrize("code", [b"ASCII\0\0\0", bytes(8), b""])
def test_exif_comments_without_a_known_code_are_utf_8(code: bytes) -> None:
    assert read_texts(with_exif("JPEG", code + TEXT.encode(), first_directory=not code)) == {USER_COMMENT: TEXT}


def test_jpeg_comments_and_xmp_are_read() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", comment=TEXT.encode(), xmp=b"<x:xmpmeta/>")
    assert read_texts(out.getvalue()) == {"comment": TEXT, "xmp": "<x:xmpmeta/>"}
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "WEBP", xmp=b"<x:xmpmeta/>")
    assert read_texts(out.getvalue()) == {"xmp": "<x:xmpmeta/>"}


def test_a_picture_without_texts_has_none_and_rubbish_is_refused() -> None:
    assert read_texts(png()) == {}
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"<html>", png()[:40]):
        with pytest.raises(InvalidRequest):
            read_texts(data)


def test_a_text_that_would_fill_the_memory_is_never_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs MAX_TEXT at most, all of them together MAX_TOTAL; others of the file are still read."""
    made: list[int] = []
    inflated = containers.inflated

    def counted(data: bytes) -> bytes | None:
        text = inflated(data)
        assert text is None
        made.append(MAX_TEXT)
        return text

    monkeypatch.setattr(containers, "inflated", counted)
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(MAX_TEXT + 1)))
    assert read_texts(png(chunk(b"tEXt", b"a\0b"), bomb)) == {"a": "b"}
    read_texts(png(*[bomb] * 50))
    assert sum(made) <= MAX_TEXT + MAX_TOTAL + MAX_TEXT


def test_a_text_of_just_the_bound_is_read() -> None:
    assert len(read_texts(png(chunk(b"zTXt", b"long\0\0" + zlib.compress(b"x" * MAX_TEXT))))["long"]) == MAX_TEXT
    assert read_texts(png(chunk(b"tEXt", b"long\0" + b"x" * (MAX_TEXT + 1)))) == {}


def tiff(entries: list[tuple[int, int, int]], size: int) -> bytes:
    """A block of (tag, count, offset) entries of bytes."""
    rows = b"".join(struct.pack("<HHII", tag, 7, count, offset) for tag, count, offset in entries)
    return (b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows).ljust(size, b"\0")


def hostile_exif() -> Iterator[bytes]:
    yield tiff([(0x8769, 1, 8)] * 3, 100)  # a directory that points to itself
    yield tiff([(0x9286, 2**31, 8), (0x010E, 50, 90)], 100)  # past the end
    yield tiff([(tag, 60_000, 8) for tag in range(5000)], 70_000)  # thousands of tags over the same bytes
    yield b"II*\0\xff\xff\xff\xff"
    yield b"MM\0*"


@pytest.mark.parametrize("block", hostile_exif())
def test_hostile_exif_yields_few_texts(block: bytes) -> None:
    found = read_texts(png(chunk(b"eXIf", block)))
    assert sum(map(len, found.values())) <= 6 * len(block)


def test_exif_that_would_fill_the_memory_is_refused_before_pillow_reads_it() -> None:
    """65 KB of JPEG made 310 MB: each of thousands of entries was copied, all from the same bytes."""
    bodies = [tiff([(256 + number, 60_000, 8) for number in range(5000)], 65_000), tiff([(0x8769, 1, 0)] * 20, 300)]
    for body in bodies:
        segment = b"Exif\0\0" + body
        plain = with_exif("JPEG", b"x")
        jpeg = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
        webp = b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(body)) + body
        for data in (jpeg, webp, png(chunk(b"eXIf", body))):
            with pytest.raises(InvalidRequest, match="damaged"):
                check_exif(data)
    for data in (with_exif("JPEG", b"x" * 9000), with_exif("WEBP", b"x"), png(), b"", b"<html>"):
        check_exif(data)


def test_people_s_files_are_read_with_a_limit(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.core.pictures.MAX_BYTES", 10)
    (tmp_path / "small.png").write_bytes(b"0123456789")
    (tmp_path / "large.png").write_bytes(b"01234567890")
    assert read_file(tmp_path / "small.png") == b"0123456789"
    for name in ("large.png", "none.png", ""):
        with pytest.raises(InvalidRequest):
            read_file(tmp_path / name)
