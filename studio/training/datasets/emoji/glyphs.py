"""The pictures themselves, drawn once from the Noto Color Emoji font where it is installed.

Independent of scenes and captions. Another source of glyphs is any function from a name to such an array.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from studio.core.errors import StorageError

from .vocabulary import CHARACTER_OF

Glyphs = Callable[[str], np.ndarray]  # name -> [h, w, 4] float32 in 0..1, colours multiplied by alpha, cropped

FILE = "NotoColorEmoji.ttf"
STRIKE, SIZE = 109, (136, 128)  # the font's only bitmap size, and a picture's width and height at it
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "~/Library/Fonts")
MISSING = "The emoji pictures need the font Noto Color Emoji; install it (Debian: apt install fonts-noto-color-emoji)."


@cache
def find_font() -> Path:
    """Where the font is installed. Raises StorageError."""
    for folder in (*FOLDERS, str(Path(sys.prefix) / "share" / "fonts")):
        for path in sorted(Path(folder).expanduser().rglob(FILE)):
            return path
    raise StorageError(MISSING)


@cache
def _font() -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(find_font()), STRIKE)
    except OSError:  # a variant of the font with outlines instead of bitmaps
        raise StorageError(f"The installed {FILE} has no pictures of {SIZE[0]} x {SIZE[1]} pixels.") from None


@cache
def font_glyph(name: str) -> np.ndarray:
    """The picture of that name."""
    canvas = Image.new("RGBA", SIZE)
    ImageDraw.Draw(canvas).text((0, 0), CHARACTER_OF[name], font=_font(), embedded_color=True)
    return cropped(np.asarray(canvas))


def cropped(rgba: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 -> its visible part, as a glyph."""
    rows, columns = (np.flatnonzero((rgba[..., 3] > 8).any(axis)) for axis in (1, 0))
    part = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255
    part[..., :3] *= part[..., 3:]
    return part


def source() -> Glyphs:
    """The font's pictures. Raises StorageError where the font is missing, before anything is drawn."""
    _font()
    return font_glyph
