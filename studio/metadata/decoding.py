"""Decodes a picture from outside: checked first, upright, and without the metadata that it came with.

Does not depend on where the picture came from or where it goes.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps

from studio.core.errors import InvalidRequest
from studio.core.pictures import decoding, read_header
from studio.metadata.containers import check_exif


@contextmanager
def decoded(data: bytes, least: int | None = None) -> Iterator[Image.Image]:
    """Within the block: the picture, RGB, RGBA or L, inside the process's budget of pixels. Raises InvalidRequest.

    With `least`, a JPEG may be decoded smaller than it is, with no side below that: much faster.
    """
    check_exif(data)
    header = read_header(data)
    with decoding.taking(header.width, header.height):
        try:
            with Image.open(io.BytesIO(data)) as opened:
                if least is not None:
                    opened.draft("RGB", (least, least))
                picture = _plain(ImageOps.exif_transpose(opened))
        except Exception:  # Pillow's decoders raise nearly anything on damaged data
            raise InvalidRequest("This picture is damaged and cannot be read.") from None
        yield picture


def _plain(picture: Image.Image) -> Image.Image:
    """RGB or RGBA or L, decoded, with nothing of the file's metadata; the first frame of an animated one."""
    if picture.mode.startswith("I"):  # 16 bits, of which Pillow's own conversion would cut off the upper ones
        picture = picture.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    mode = picture.mode if picture.mode in ("RGB", "RGBA", "L") else "RGBA" if picture.has_transparency_data else "RGB"
    converted = picture.convert(mode)
    plain = Image.new(mode, converted.size)
    plain.paste(converted)
    return plain
