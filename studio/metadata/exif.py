"""The few Exif tags that programs write settings into, from a TIFF block. Reads no others and follows no chain of pages."""

import struct
from collections.abc import Iterator

TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x9286: "UserComment",  # Fooocus writes this and the next into the first directory
    0x927C: "MakerNote",
}
_EXIF_IFD = 0x8769
_DIRECTORIES = frozenset({_EXIF_IFD, 0x8825, 0xA005})  # of Exif, GPS, and what other programs need to know
_TEXT = frozenset({1, 2, 7})  # types that hold text: BYTE, ASCII, UNDEFINED
_WIDTHS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}  # bytes of one value; of other types 1
_MAX_DIRECTORIES = 10


def read(block: bytes) -> Iterator[tuple[str, bytes]]:
    """(name of the tag, its bytes) of the first directory and of the Exif directory that it points to, each tag once.

    Nothing is yielded from a block that is no TIFF, and what points outside it is left out.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return
    waiting, seen = [struct.unpack_from(order + "I", block, 4)[0]], set[int]()
    for offset in waiting:
        for tag, kind, count, at in _entries(block, order, offset):
            if tag == _EXIF_IFD and len(waiting) == 1:
                waiting.append(struct.unpack_from(order + "I", block, at)[0])
            if tag not in TAGS or tag in seen or kind not in _TEXT:
                continue
            start = at if count <= 4 else struct.unpack_from(order + "I", block, at)[0]
            if start + count <= len(block):
                seen.add(tag)
                yield TAGS[tag], block[start : start + count]


def _entries(block: bytes, order: str, offset: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, type, count, place of the value or of its offset) of each entry that is within the block."""
    if offset + 2 > len(block):
        return
    (number,) = struct.unpack_from(order + "H", block, offset)
    for place in range(offset + 2, min(offset + 2 + 12 * number, len(block) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", block, place)
        yield tag, kind, count, place + 8


def is_hostile(block: bytes) -> bool:
    """Whether the entries claim far more bytes than the block has, one over the other: a reader that copies each would make
    gigabytes of a few kilobytes."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return False
    waiting, claimed = [struct.unpack_from(order + "I", block, 4)[0]], 0
    for offset in waiting:
        for tag, kind, count, at in _entries(block, order, offset):
            claimed += min(count * _WIDTHS.get(kind, 1), len(block))
            if tag in _DIRECTORIES:
                waiting.append(struct.unpack_from(order + "I", block, at)[0])
        if len(waiting) > _MAX_DIRECTORIES:
            return True
    return claimed > 4 * len(block)


def comment(value: bytes) -> str:
    """A user comment: eight bytes of character code, then the text. "UNICODE" is UTF-16 of either byte order, as writers
    differ; some write no code at all."""
    code, text = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        big, little = (text.decode(name, errors="replace").strip("\x00\ufeff") for name in ("utf-16-be", "utf-16-le"))
        return max(big, little, key=lambda decoded: sum(character < "\x80" for character in decoded))
    if code in (b"ASCII\x00\x00\x00", b"JIS\x00\x00\x00\x00\x00", bytes(8)):
        value = text
    return value.decode("utf-8", errors="replace").strip("\x00")
