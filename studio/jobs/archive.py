"""The archive of results: images with their recipes, their index, and thumbnails.

Takes PIL images and bytes; knows no torch and no pipeline. A file appears under its final name whole or not at all, and
never in another's place. Image files that somebody deleted are simply no longer there.
"""

import io
import os
import secrets
import sqlite3
import time
from pathlib import Path
from typing import Protocol

import psutil
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from studio.core import events, infotext
from studio.core.embedded import read_texts
from studio.core.errors import InvalidRequest, NotFound, StorageError
from studio.core.jobs import ImageView
from studio.core.recipe import PARAMETERS_KEY, RECIPE_KEY, Recipe, from_text, pixel_hash, to_text
from studio.jobs.database import Database
from studio.jobs.storage import PRIVATE, below, explained, write_atomically

THUMBNAIL_SIDE = 256
THUMBNAIL_BYTES = 256 * 2**20  # kept over a start; what is let go is made again when it is looked at
LOST_JOB = "lost"  # stands for the job of an image whose index was lost
PNG_LEVEL = 4  # a quarter quicker than Pillow's 6, a few per cent larger


class Sink(Protocol):
    """Where a run's pictures go: the archive, or a folder of a person's own."""

    @property
    def private(self) -> Path: ...

    def save(self, image: Image.Image, recipe: Recipe, job: str) -> events.Image: ...


class Archive:
    """Images lie in `<outputs>/YYYY-MM-DD/HHMMSS-<seed>-<id>.png`; everything else in the studio's private folder."""

    def __init__(self, outputs: Path, database: Database):
        self.outputs = outputs
        self._database = database

    @property
    def private(self) -> Path:
        """The studio's own folder, beside the images."""
        return self.outputs / PRIVATE

    @property
    def _thumbnails(self) -> Path:
        return self.private / "thumbnails"

    def save(self, image: Image.Image, recipe: Recipe, job: str) -> events.Image:
        """Write the picture with its recipe, enter it in the index, and return the event that tells of it."""
        if recipe.pixels is None:
            recipe = recipe.model_copy(update={"pixels": pixel_hash(image.mode, image.size, image.tobytes())})
        image_id, now = secrets.token_hex(6), time.time()
        local = time.localtime(now)
        folder = self.outputs / time.strftime("%Y-%m-%d", local)
        path = folder / f"{time.strftime('%H%M%S', local)}-{recipe.seed}-{image_id}.png"
        with explained("save the image"):
            folder.mkdir(parents=True, exist_ok=True)
            self._publish(encode_png(image, recipe), path)
        try:
            with self._database.write("enter the image in the index") as db:
                self._insert(db, image_id, job, recipe, image.size, now, path)
        except StorageError:
            path.unlink(missing_ok=True)  # an image that the index does not know would never be seen
            raise
        return events.Image(
            id=image_id,
            index=recipe.index,
            seed=recipe.seed,
            width=image.width,
            height=image.height,
            path=self._relative(path),
            sha256=recipe.pixels or "",
        )

    def images(self, *, limit: int = 50, before: float | None = None) -> list[ImageView]:
        """Newest first, those whose file is still there."""
        found: list[ImageView] = []
        rows = self._rows(before, limit)
        while rows and len(found) < limit:
            found += [view for row in rows if (view := _view_if_readable(row)) and self._exists(view)]
            rows = self._rows(rows[-1]["created"], limit) if len(rows) == limit else []
        return found[:limit]

    def image(self, image_id: str) -> ImageView:
        return _view(self._row(image_id))

    def recipe(self, image_id: str) -> Recipe:
        return from_text(self._row(image_id)["recipe"])

    def file(self, image_id: str) -> Path:
        """The image's file; raises StorageError if it was deleted."""
        path = below(self.outputs, self._row(image_id)["path"])
        if not path.is_file():
            raise StorageError("The file of this image is no longer there.")
        return path

    def thumbnail(self, image_id: str) -> bytes:
        """JPEG of at most 256 px a side, made once and kept."""
        path = self.file(image_id)
        kept = below(self._thumbnails, f"{image_id}.jpg")
        try:
            return kept.read_bytes()
        except OSError:
            pass  # not made yet, or deleted
        with explained("read the image"), Image.open(path) as image:
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
            data = encode_jpeg(image, quality=85)
        try:
            write_atomically(kept, data)
        except OSError:
            pass  # a full disk costs time here, not the thumbnail
        return data

    def sweep(self) -> int:
        """Remove what writers that are no longer alive left half written; how many files that were."""
        swept = 0
        for path in (self.private / "tmp").glob("*.tmp"):
            writer = path.name.partition("-")[0]
            if not writer.isdigit() or int(writer) == os.getpid() or not psutil.pid_exists(int(writer)):
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def prune_thumbnails(self, cap: int = THUMBNAIL_BYTES) -> int:
        """Let the oldest thumbnails go while all are larger than `cap`; how many that were."""
        kept, pruned = 0, 0
        files = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._thumbnails.glob("*.jpg")]
        for _, size, path in sorted(files, reverse=True):
            kept += size
            if kept > cap:
                path.unlink(missing_ok=True)
                pruned += 1
        return pruned

    def reindex(self) -> int:
        """Enter older pictures that the index does not know, as after its loss, by the recipes they carry; how many."""
        began = time.time()
        with self._database.read("read the index of images") as db:
            known = {row["path"] for row in db.execute("SELECT path FROM images").fetchall()}
        found = 0
        for path in sorted(self.outputs.glob("????-??-??/*.png")):
            if self._relative(path) in known:
                continue
            try:
                recipe = from_text(read_texts(path.read_bytes())[RECIPE_KEY])
                changed, size = path.stat().st_mtime, (recipe.request.width or 0, recipe.request.height or 0)
            except (OSError, KeyError, InvalidRequest, ValidationError):
                continue  # not one of ours
            if changed >= began:
                continue  # a worker is just entering it
            with self._database.write("enter the image in the index") as db:
                self._insert(db, secrets.token_hex(6), LOST_JOB, recipe, size, changed, path)
            found += 1
        return found

    def _publish(self, data: bytes, path: Path) -> None:
        """Temporary file, fsync, then the final name, which must be free."""
        temporary = self.private / "tmp" / f"{os.getpid()}-{path.name}.tmp"
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            _move_without_overwriting(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def _insert(
        self,
        db: sqlite3.Connection,
        image_id: str,
        job: str,
        recipe: Recipe,
        size: tuple[int, int],
        now: float,
        path: Path,
    ) -> None:
        row = (
            image_id,
            job,
            recipe.index,
            recipe.seed - 2**64 if recipe.seed >= 2**63 else recipe.seed,  # a column holds 64 bits with a sign
            *size,
            now,
            self._relative(path),
            recipe.pixels,
            to_text(recipe),
        )
        db.execute(
            "INSERT INTO images (id, job, position, seed, width, height, created, path, sha256, recipe) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.outputs).as_posix()

    def _exists(self, view: ImageView) -> bool:
        return (self.outputs / view.path).is_file()

    def _row(self, image_id: str) -> sqlite3.Row:
        with self._database.read("read the index of images") as db:
            row = db.execute("SELECT * FROM images WHERE id = ?", (image_id,)).fetchone()
        if row is None:
            raise NotFound("image", image_id)
        return row

    def _rows(self, before: float | None, limit: int) -> list[sqlite3.Row]:
        with self._database.read("read the index of images") as db:
            return db.execute(
                "SELECT * FROM images WHERE created < ? ORDER BY created DESC, rowid DESC LIMIT ?",
                (before if before is not None else float("inf"), limit),
            ).fetchall()


def encode_png(image: Image.Image, recipe: Recipe) -> bytes:
    """PNG with both texts: our recipe and the AUTOMATIC1111 parameters."""
    info = PngInfo()
    info.add_text(RECIPE_KEY, to_text(recipe))
    info.add_text(PARAMETERS_KEY, infotext.write(recipe))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info, compress_level=PNG_LEVEL)
    return buffer.getvalue()


def encode_jpeg(image: Image.Image, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _view(row: sqlite3.Row) -> ImageView:
    recipe = from_text(row["recipe"])
    return ImageView(
        id=row["id"],
        job=row["job"],
        index=row["position"],
        seed=recipe.seed,
        width=row["width"],
        height=row["height"],
        created=row["created"],
        path=row["path"],
        sha256=row["sha256"],
        request=recipe.request,
    )


def _view_if_readable(row: sqlite3.Row) -> ImageView | None:
    """None for a recipe of another version that this one cannot read; its file is still there."""
    try:
        return _view(row)
    except ValidationError:
        return None


def _move_without_overwriting(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # fails if the name is taken, which a rename would not
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if target.exists():
            raise FileExistsError(17, "File exists", str(target)) from None
        os.rename(source, target)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where folders can be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
