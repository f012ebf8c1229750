"""The texts inside a picture file: PNG text chunks, JPEG and WebP comments, Exif and XMP.

Knows where texts are, not what they mean, and decodes no pixels. Every text is bounded: before it is inflated, if it is
compressed. The work is linear in the size of the file, whatever it holds.
"""

import struct
import zlib
from collections.abc import Iterator

from studio.core.errors import InvalidRequest
from studio.core.pictures import FORMATS, check_size
from studio.metadata import exif

MAX_TEXT = 4 * 2**20  # bytes of one text, inflated
MAX_TOTAL = 16 * 2**20  # bytes of all texts of a file
MAX_TEXTS = 200
MAX_PIECES = 50_000  # chunks or segments of a file that are looked at

USER_COMMENT = "exif:UserComment"  # names of texts that are not under a keyword of their own
XMP = "xmp"
COMMENT = "comment"

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_APP1, _COM = 0xE1, 0xFE  # segments of a JPEG
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_EXIF_HEAD, _XMP_HEAD = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00"


def read_texts(data: bytes) -> dict[str, str]:
    """Name -> text: PNG keywords as they are, "exif:" and a tag's name, "xmp", and a JPEG's "comment".

    Of two texts of one name the first counts. Raises InvalidRequest if the file is no picture, or ends before its pixels.
    """
    check_size(data)
    found: dict[str, str] = {}
    total = 0
    for number, (name, text) in enumerate(_texts(data)):
        total += MAX_TEXT if text is None else len(text)  # what was too long has cost as much as the longest
        if number >= MAX_TEXTS or total > MAX_TOTAL:
            break
        if text is not None:
            found.setdefault(name, text)
    return found


Text = tuple[str, str | None]  # (name, text); None: too long, or damaged


def _texts(data: bytes) -> Iterator[Text]:
    if data.startswith(_PNG):
        yield from _png(data)
    elif is_jpeg(data):
        yield from _jpeg(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        yield from _webp(data)
    elif not data.startswith(b"BM"):
        raise InvalidRequest(f"This is not a picture that can be read; send {', '.join(FORMATS)}.")


def _png(data: bytes) -> Iterator[Text]:
    """Chunks may come after the pixels as well; a file that ends within its pixels keeps the texts before them."""
    pixels = False
    for kind, body in _png_chunks(data):
        pixels = pixels or kind == b"IDAT"
        if kind in _PNG_TEXTS:
            yield _PNG_TEXTS[kind](body)
        elif kind == b"eXIf" and len(body) <= MAX_TEXT:
            yield from _exif(body)
    if not pixels:
        raise InvalidRequest("This picture is damaged; its settings cannot be read.")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), len(_PNG)
    for _ in range(MAX_PIECES):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, view[at + 8 : at + 8 + length]
        at += length + 12


def _text_chunk(body: memoryview) -> Text:
    keyword, _, text = bytes(body[: MAX_TEXT + 81]).partition(b"\x00")
    return _keyword(keyword), decoded(text) if len(text) <= MAX_TEXT else None


def _compressed_chunk(body: memoryview) -> Text:
    keyword, _, rest = bytes(body).partition(b"\x00")
    text = inflated(rest[1:]) if rest[:1] == b"\x00" else None
    return _keyword(keyword), None if text is None else decoded(text)


def _international_chunk(body: memoryview) -> Text:
    """Keyword, two bytes on compression, a language, the keyword in that language, and the text in UTF-8."""
    keyword, _, rest = bytes(body).partition(b"\x00")
    name = XMP if keyword == _XMP_KEYWORD else _keyword(keyword)
    *_, last = rest[2:].split(b"\x00", 2)
    text: bytes | None = inflated(last) if rest[:1] == b"\x01" else last
    return name, None if text is None or len(text) > MAX_TEXT else decoded(text)


_PNG_TEXTS = {b"tEXt": _text_chunk, b"zTXt": _compressed_chunk, b"iTXt": _international_chunk}


def _keyword(raw: bytes) -> str:
    return raw[:79].decode("latin-1")


def inflated(data: bytes, window: int = zlib.MAX_WBITS) -> bytes | None:
    """None for a text that is longer than MAX_TEXT, of which no more than that is ever made, or that is damaged."""
    inflate = zlib.decompressobj(window)
    try:
        text = inflate.decompress(data, MAX_TEXT)
    except zlib.error:
        return None
    return text if inflate.eof else None


def is_jpeg(data: bytes) -> bool:
    return data.startswith(_JPEG)


def decoded(text: bytes) -> str:
    """UTF-8 where it is that, else Latin-1: many programs write UTF-8 where the PNG standard has Latin-1."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _jpeg(data: bytes) -> Iterator[Text]:
    """Exif and XMP are in APP1 segments, a comment is in a COM segment."""
    for marker, body in _jpeg_segments(data):
        if marker == _APP1 and body.startswith(_EXIF_HEAD):
            yield from _exif(body)
        elif marker == _APP1 and body.startswith(_XMP_HEAD):
            yield XMP, decoded(body[len(_XMP_HEAD) :])
        elif marker == _COM:
            yield COMMENT, decoded(body)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of those before the pixels."""
    at = 2
    for _ in range(MAX_PIECES):
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == 0xDA:
            return
        if data[at + 1] == 0xFF:  # a byte that fills up
            at += 1
            continue
        marker, length = struct.unpack_from(">xBH", data, at)
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)


def _webp(data: bytes) -> Iterator[Text]:
    for kind, body in _webp_chunks(data):
        if kind == b"EXIF" and len(body) <= MAX_TEXT:
            yield from _exif(body)
        elif kind == b"XMP " and len(body) <= MAX_TEXT:
            yield XMP, decoded(bytes(body))


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), 12
    for _ in range(MAX_PIECES):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, view[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _exif(block: bytes | memoryview) -> Iterator[Text]:
    for name, value in exif.read(bytes(block).removeprefix(_EXIF_HEAD)):
        text = exif.comment(value) if name == "UserComment" else decoded(value.rstrip(b"\x00"))
        yield f"exif:{name}", text


def check_exif(data: bytes) -> None:
    """Raises InvalidRequest for a picture whose Exif would cost far more memory than it has bytes, before Pillow reads it."""
    if any(exif.is_hostile(block.removeprefix(_EXIF_HEAD)) for block in _exif_blocks(data)):
        raise InvalidRequest("This picture is damaged and cannot be read.")


def _exif_blocks(data: bytes) -> Iterator[bytes]:
    """As Pillow takes them: those of a JPEG joined to one."""
    if data.startswith(_PNG):
        yield from (bytes(body) for kind, body in _png_chunks(data) if kind == b"eXIf")
    elif is_jpeg(data):
        blocks = [body for marker, body in _jpeg_segments(data) if marker == _APP1 and body.startswith(_EXIF_HEAD)]
        yield b"".join(block.removeprefix(_EXIF_HEAD) for block in blocks)
    elif data[8:12] == b"WEBP":
        yield from (bytes(body) for kind, body in _webp_chunks(data) if kind == b"EXIF")
