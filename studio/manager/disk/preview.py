"""The small picture of a model, from the preview that lies beside it. No torch.

Reads pictures only, bounded in bytes and pixels before anything is decoded; which file it is was found by the catalog.
"""

import io
from pathlib import Path

from PIL import Image, ImageOps

from studio.core.errors import InvalidRequest, NotFound, StorageError
from studio.core.models import ModelInfo
from studio.core.pictures import FORMATS, MAX_BYTES, read_header

SIDE = 384


def small_preview(info: ModelInfo, path: Path) -> bytes:
    """JPEG of at most SIDE px a side. Raises NotFound where there is none, InvalidRequest where it is no picture."""
    if info.preview is None:
        raise NotFound("preview", info.title)
    file = (path if path.is_dir() else path.parent) / info.preview
    try:
        if not file.is_file():  # a pipe would never end
            raise NotFound("preview", info.title)
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise StorageError(f"The preview of {info.title} cannot be read: {error.strerror}.") from None
    read_header(data)
    return _small_jpeg(data)


def _small_jpeg(data: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            picture.draft("RGB", (SIDE, SIDE))
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            flat = upright.convert("RGBA")
    except Exception:  # Pillow's decoders raise nearly anything on damaged data
        raise InvalidRequest("The preview is damaged.") from None
    ground = Image.new("RGB", flat.size, "white")
    ground.paste(flat, mask=flat.getchannel("A"))
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=85)
    return out.getvalue()
