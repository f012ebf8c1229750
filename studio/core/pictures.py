"""Looks at a picture from outside before anybody decodes it: format and size, from its header alone.

A 20 KB file can decode to a gigabyte, so what comes from a person passes here first. Knows nothing of where it is kept.
"""

import io
import warnings
from dataclasses import dataclass

from PIL import Image

from studio.core.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_PIXELS = 32_000_000
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Header:
    """What a picture's header claims. `format` is Pillow's name of it."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """The header of a picture that may be decoded; raises InvalidRequest with one sentence for any other."""
    if len(data) > MAX_BYTES:
        raise InvalidRequest(f"The picture is larger than {MAX_BYTES // 2**20} MiB, the most that is accepted.")
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


def _too_many() -> str:
    return f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels, the most that is accepted."
