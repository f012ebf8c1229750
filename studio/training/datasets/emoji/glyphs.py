"""The pictures themselves, drawn once from the Noto Color Emoji font where it is installed, or read from a zip of them.

UNNOISE_EMOJI names the font's file, or such a zip (`write_zip`), on a machine that has the font nowhere else. Independent of scenes and captions. Another source of glyphs is any function from a name to such an array.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
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
VARIABLE = "UNNOISE_EMOJI"
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "~/Library/Fonts")
MISSING = "The emoji pictures need the font Noto Color Emoji; install it (Debian: apt install fonts-noto-color-emoji)."


@cache
def find_font() -> Path:
    """Where the font, or a zip of its pictures, is. Raises StorageError."""
    if given := os.environ.get(VARIABLE):
        if not Path(given).is_file():
            raise StorageError(f"{VARIABLE} names {Path(given).name!r}, which is no file.")
        return Path(given)
    for folder in (*FOLDERS, str(Path(sys.prefix) / "share" / "fonts")):
        for path in sorted(Path(folder).expanduser().rglob(FILE)):
            return path
    raise StorageError(MISSING)


@cache
def _zip() -> zipfile.ZipFile | None:
    path = find_font()
    try:
        return zipfile.ZipFile(path) if path.suffix == ".zip" else None
    except (OSError, zipfile.BadZipFile):
        raise StorageError(f"The emoji pictures in {path.name} cannot be read.") from None


@cache
def _font() -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(str(find_font()), STRIKE)
    except OSError:  # a variant of the font with outlines instead of bitmaps
        raise StorageError(f"The installed {FILE} has no pictures of {SIZE[0]} x {SIZE[1]} pixels.") from None


@cache
def font_glyph(name: str) -> np.ndarray:
    """The picture of that name. Raises StorageError where a zip lacks it."""
    return cropped(np.asarray(_picture(CHARACTER_OF[name])))


def _picture(character: str) -> Image.Image:
    if (pictures := _zip()) is not None:
        try:
            return Image.open(io.BytesIO(pictures.read(_file_name(character)))).convert("RGBA")
        except (KeyError, OSError, zipfile.BadZipFile):
            raise StorageError(f"The zip of emoji pictures lacks {_file_name(character)}, or it is damaged.") from None
    canvas = Image.new("RGBA", SIZE)
    ImageDraw.Draw(canvas).text((0, 0), character, font=_font(), embedded_color=True)
    return canvas


def _file_name(character: str) -> str:
    return f"{'-'.join(f'{ord(c):x}' for c in character)}.png"


def write_zip(path: Path) -> None:
    """The pictures of the vocabulary as PNG files, a fifth of the font's size. Raises StorageError where there is no font."""
    with zipfile.ZipFile(path, "w") as out:
        for character in CHARACTER_OF.values():
            buffer = io.BytesIO()
            _picture(character).save(buffer, "PNG", optimize=True)
            out.writestr(_file_name(character), buffer.getvalue())


def cropped(rgba: np.ndarray) -> np.ndarray:
    """[H, W, 4] uint8 -> its visible part, as a glyph."""
    rows, columns = (np.flatnonzero((rgba[..., 3] > 8).any(axis)) for axis in (1, 0))
    part = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32) / 255
    part[..., :3] *= part[..., 3:]
    return part


def source() -> Glyphs:
    """The font's pictures. Raises StorageError where the font is missing, before anything is drawn."""
    if _zip() is None:
        _font()
    return font_glyph
