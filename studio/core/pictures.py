"""Looks at a picture from outside before anybody decodes it: format and size, from its header alone; and bounds how much is
decoded at once.

A 20 KB file can decode to a gigabyte, so what comes from a person passes here first. Knows nothing of where it is kept.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from studio.core.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_PIXELS = 32_000_000
MAX_BYTES = 64 * 2**20
PIXELS_AT_ONCE = 2 * MAX_PIXELS  # decoded by this process; each takes some 16 bytes on its way


@dataclass(frozen=True)
class Header:
    """What a picture's header claims. `format` is Pillow's name of it."""

    format: str
    width: int
    height: int


def read_file(path: Path) -> bytes:
    """The bytes of a person's picture file, of which no more than MAX_BYTES is ever read; raises InvalidRequest."""
    try:
        if path.exists() and not path.is_file():  # a pipe, say, that nobody writes to
            raise InvalidRequest(f"{path.name} cannot be read: it is no file.")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {(error.strerror or 'no such file').lower()}.") from None
    check_size(data)
    return data


def check_size(data: bytes) -> None:
    """Raises InvalidRequest for a file of more than MAX_BYTES."""
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The picture is larger than {MAX_BYTES // 2**20} MiB, the most that is accepted.")


def read_header(data: bytes) -> Header:
    """The header of a picture that may be decoded; raises InvalidRequest with one sentence for any other."""
    check_size(data)
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its own limit; ours is lower and is asked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                header = Header(str(picture.format), *picture.size)
    except Image.DecompressionBombError:
        raise InvalidRequest(_too_many()) from None
    except Exception:  # Pillow's parsers raise nearly anything on a damaged header
        raise InvalidRequest(f"This is not a picture that can be read; send {', '.join(FORMATS)}.") from None
    if header.width * header.height > MAX_PIXELS:
        raise InvalidRequest(_too_many())
    return header


class PixelBudget:
    """Whoever decodes a picture waits until there is room for its pixels beside those that others are decoding."""

    def __init__(self, pixels: int):
        self._pixels, self._taken = pixels, 0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, width: int, height: int) -> Iterator[None]:
        wanted = min(width * height, self._pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + wanted <= self._pixels)
            self._taken += wanted
        try:
            yield
        finally:
            with self._changed:
                self._taken -= wanted
                self._changed.notify_all()


decoding = PixelBudget(PIXELS_AT_ONCE)  # of this process


def opaque(picture: Image.Image) -> Image.Image:
    """RGB, with what is transparent on white."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    return _on(picture, (255, 255, 255))


def as_mask(picture: Image.Image) -> Image.Image:
    """L, with what is transparent black: a mask may be painted on nothing."""
    return (_on(picture, (0, 0, 0)) if picture.has_transparency_data else picture).convert("L")


def _on(picture: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (*ground, 255)), picture).convert("RGB")


def _too_many() -> str:
    return f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels, the most that is accepted."
