"""The input store: pictures that requests start from, each kept once under the hash of its pixels.

A request names a picture by that hash, so it is hashable and can be replayed. Independent of requests.
"""

import io
from pathlib import Path

from PIL import Image

from studio.core.errors import NotFound
from studio.core.recipe import pixel_hash
from studio.jobs.storage import below, explained, write_atomically
from studio.metadata.decoding import decoded

_HEX = set("0123456789abcdef")


class InputStore:
    """`folder/<hash>.png`, upright and without the metadata that the picture came with."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, data: bytes) -> str:
        """Check the picture, keep it, and return its hash. Raises InvalidRequest, StorageError."""
        with decoded(data) as picture:
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
