"""The input store: pictures that requests start from, each kept once under the hash of its pixels.

A request names a picture by that hash, so it is hashable and can be replayed. Independent of requests.
"""

import io
from pathlib import Path

from PIL import Image, ImageOps

from studio.core.errors import InvalidRequest, NotFound
from studio.core.pictures import decoding, read_header
from studio.core.recipe import pixel_hash
from studio.jobs.storage import below, explained, write_atomically
from studio.metadata.containers import check_exif

_HEX = set("0123456789abcdef")


class InputStore:
    """`folder/<hash>.png`, upright and without the metadata that the picture came with."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, data: bytes) -> str:
        """Check the picture, keep it, and return its hash. Raises InvalidRequest, StorageError."""
        check_exif(data)
        header = read_header(data)
        with decoding.taking(header.width, header.height):
            return self._add(data)

    def _add(self, data: bytes) -> str:
        try:
            with Image.open(io.BytesIO(data)) as opened:
                picture = _plain(ImageOps.exif_transpose(opened))
        except Exception:  # Pillow's decoders raise nearly anything on damaged data
            raise InvalidRequest("This picture is damaged and cannot be read.") from None
        digest = pixel_hash(picture.mode, picture.size, picture.tobytes())
        path = self.path(digest)
        if not path.exists():
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            with explained("store the picture"):
                write_atomically(path, buffer.getvalue())
        return digest

    def open(self, digest: str) -> Image.Image:
        """The picture, decoded; raises NotFound."""
        try:
            with Image.open(self.path(digest)) as picture:
                picture.load()
                return picture
        except OSError:
            raise NotFound("input", digest) from None

    def path(self, digest: str) -> Path:
        """Where a picture of that hash lies; raises NotFound for what is no hash."""
        if len(digest) != 64 or not set(digest) <= _HEX:
            raise NotFound("input", digest)
        return below(self.folder, f"{digest}.png")


def _plain(picture: Image.Image) -> Image.Image:
    """RGB or RGBA or L, decoded, with nothing of the file's metadata; the first frame of an animated one."""
    if picture.mode.startswith("I"):  # 16 bits, of which Pillow's own conversion would cut off the upper ones
        picture = picture.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    mode = picture.mode if picture.mode in ("RGB", "RGBA", "L") else "RGBA" if picture.has_transparency_data else "RGB"
    converted = picture.convert(mode)
    plain = Image.new(mode, converted.size)
    plain.paste(converted)
    return plain
