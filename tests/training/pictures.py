"""Folders and zips of drawn pictures, good and bad, for tests of a person's own data."""

import io
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw

SIZES = ((96, 64), (64, 96), (64, 64))


def drawn(k: int) -> Image.Image:
    picture = Image.new("RGB", SIZES[k % 3], "white")
    ImageDraw.Draw(picture).ellipse((8, 8, 20 + 3 * k, 50), fill=(20 * k, 10, 200))
    return picture


def folder(path: Path, count: int = 12) -> Path:
    """`count` pictures, half of them in a folder that counts three times, with captions of every kind, and three bad files."""
    (path / "3_red_ball").mkdir(parents=True)
    for k in range(count):
        drawn(k).save(path / ("3_red_ball" if k % 2 else ".") / f"p{k:02}.{'jpg' if k % 2 else 'png'}")
    (path / "p00.txt").write_text("a first ball\nthe same in other words\n")
    (path / "captions.csv").write_text("file_name,text\np02.png,from the table\np00.png,not used\n")
    (path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    (path / "film.gif").write_bytes(b"GIF89a")
    half = io.BytesIO()
    drawn(1).save(half, "JPEG")
    (path / "half.jpg").write_bytes(half.getvalue()[:400])
    return path


def zipped(path: Path, files: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name in links else 0o100644) << 16
            out.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def png(k: int = 0) -> bytes:
    out = io.BytesIO()
    drawn(k).save(out, "PNG")
    return out.getvalue()
