"""A film as one file that moves: GIF or WebP. Pure pictures in, bytes out."""

import io
from collections.abc import Iterable

from PIL import Image

FORMATS = {"gif": "image/gif", "webp": "image/webp"}
STEP_MS = 140  # as the page plays it
LAST_MS = 1500  # the finished picture stays for a moment
MOST = 240  # frames; of a longer film some are left out, evenly


def animation(frames: Iterable[tuple[int, bytes]], kind: str) -> bytes:
    """`frames`: (step, JPEG) in any order, at least one; all are shown at the size of the largest. `kind`: of FORMATS."""
    found = [data for _, data in sorted(frames)]
    if len(found) > MOST:
        found = [found[round(at * (len(found) - 1) / (MOST - 1))] for at in range(MOST)]
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in found]
    size = max(picture.size for picture in pictures)
    first, *others = [each if each.size == size else each.resize(size, Image.Resampling.BICUBIC) for each in pictures]
    durations = [STEP_MS] * len(others) + [LAST_MS]
    options = {"quality": 88, "method": 3} if kind == "webp" else {"disposal": 1}
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others, duration=durations, loop=0, **options)
    return buffer.getvalue()
