"""The settings texts inside a picture file: ours and the AUTOMATIC1111 one, from PNG text or an Exif user comment.

Reads the header first and decodes no pixels unless the texts stand behind them. Knows where texts lie, not what they mean.
"""

import io
from typing import Any

from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.pictures import FORMATS, decoding, read_header
from studio.core.recipe import PARAMETERS_KEY, RECIPE_KEY

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_MAX_TEXT = 4 * 2**20


def read_texts(data: bytes) -> dict[str, str]:
    """The texts under our key and theirs, as far as the file has them. Raises InvalidRequest if it is no picture."""
    header = read_header(data)
    try:
        with decoding.taking(header.width, header.height), Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            found = _text_chunks(picture.info)
            if not found and picture.format == "PNG":
                picture.load()  # some programs write the texts behind the pixels
                found = _text_chunks(picture.info)
            comment = None if found else picture.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except Exception:  # Pillow's parsers raise nearly anything on damaged data
        raise InvalidRequest("This picture is damaged; its settings cannot be read.") from None
    if isinstance(comment, bytes) and len(comment) <= _MAX_TEXT:
        found[PARAMETERS_KEY] = _user_comment(comment)
    return found


def _text_chunks(info: dict[Any, Any]) -> dict[str, str]:
    return {key: str(info[key]) for key in (RECIPE_KEY, PARAMETERS_KEY) if isinstance(info.get(key), str)}


def _user_comment(comment: bytes) -> str:
    """Exif's eight bytes of character code, then the text. "UNICODE" is UTF-16 of either byte order, as writers differ."""
    code, text = comment[:8], comment[8:]
    if not code.startswith(b"UNICODE"):
        return text.decode("utf-8", errors="replace").strip("\x00")
    big, little = (text.decode(name, errors="replace").strip("\x00") for name in ("utf-16-be", "utf-16-le"))
    return max(big, little, key=lambda decoded: sum(character < "\x80" for character in decoded))
