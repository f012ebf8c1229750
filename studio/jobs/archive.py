"""The archive of results: images with their recipes, their index, and thumbnails.

A file appears under its final name whole or not at all, and never replaces another (`saving`). Deleted image files are no
longer listed. Depends on PIL images and bytes, not on torch or pipelines.
"""

import io
import logging
import secrets
import sqlite3
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from studio.core import events, infotext
from studio.core.errors import InvalidRequest, NotFound, StorageError
from studio.core.gallery import GalleryCounts, GalleryPage, GalleryQuery, Relatives, described
from studio.core.jobs import ImageView
from studio.core.pictures import decoding, read_header
from studio.core.recipe import PARAMETERS_KEY, RECIPE_KEY, Recipe, from_text, pixel_hash, to_text
from studio.jobs import gallery
from studio.jobs.database import Database
from studio.jobs.folder_scan import FolderScan
from studio.jobs.gallery import GONE, HERE, TRASHED
from studio.jobs.saving import publishing, unfinished
from studio.jobs.storage import PRIVATE, below, explained, write_atomically
from studio.jobs.trash import lying, remove, take_back, throw_away
from studio.metadata.containers import read_texts

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 256
THUMBNAIL_BYTES = 256 * 2**20  # kept over a start; what is removed is made again when it is looked at
RELATIVES = 100  # pictures made from one that are listed
DESCRIBED_AT_ONCE = 200
LOST_JOB = "lost"  # the job's id for images that were found again after the index was lost
PNG_LEVEL = 4  # a quarter faster than Pillow's default of 6, files a few per cent larger


class Archive:
    """Images lie in `<outputs>/YYYY-MM-DD/HHMMSS-<seed>-<id>.png`; everything else in the studio's private folder."""

    def __init__(self, outputs: Path, database: Database):
        self.outputs = outputs
        self._database = database
        self._scan = FolderScan(outputs, database, lambda path: self._enter(path, LOST_JOB, secrets.token_hex(6)))

    @property
    def private(self) -> Path:
        """The studio's own folder, beside the images."""
        return self.outputs / PRIVATE

    @property
    def _thumbnails(self) -> Path:
        return self.private / "thumbnails"

    @property
    def _temporary(self) -> Path:
        return self.private / "tmp"

    def save(self, image: Image.Image, recipe: Recipe, job: str) -> events.Image:
        """Write the picture with its recipe, add it to the index, and return the event that reports it. One that the run was to
        make again, and that came out the same, is not written a second time."""
        if recipe.pixels is None:
            recipe = recipe.model_copy(update={"pixels": pixel_hash(image.mode, image.size, image.tobytes())})
        if any(part.repeats == recipe.pixels for part in recipe.request.parts) and (
            known := self._view_of(recipe.pixels)
        ):
            return saved_event(known.id, recipe, image, known.path)
        image_id, now = secrets.token_hex(6), time.time()
        name = time.strftime(f"%Y-%m-%d/%H%M%S-{recipe.seed}-{image_id}.png", time.localtime(now))
        path = self.outputs / name
        with explained("save the image"), publishing(encode_png(image, recipe), self._temporary, job, path):
            try:
                with self._database.write("add the image to the index") as db:
                    self._insert(db, image_id, job, recipe, image.size, now, path)
            except StorageError:
                path.unlink(missing_ok=True)  # an image that is not in the index would never be listed
                raise
        return saved_event(image_id, recipe, image, self._relative(path))

    def images(self, *, limit: int = 50, before: float | None = None, favourites: bool = False) -> list[ImageView]:
        """Newest first; images whose files were deleted are left out. `favourites`: no others."""
        found: list[ImageView] = []
        rows = self._rows(before, limit, favourites)
        while rows and len(found) < limit:
            found += [view for row in rows if (view := _view_if_readable(row)) and self._exists(view)]
            rows = self._rows(rows[-1]["created"], limit, favourites) if len(rows) == limit else []
        return found[:limit]

    def gallery(self, query: GalleryQuery) -> GalleryPage:
        """A page of what the query fits. What a person moved, added or deleted in the folders is seen with each first page."""
        if not query.cursor:
            self._scan.look(self._saving)
        return gallery.page(self._database, query)

    def gallery_counts(self, *, trash: bool) -> GalleryCounts:
        return gallery.counts(self._database, trash=trash)

    def gallery_ids(self, query: GalleryQuery) -> list[str]:
        return gallery.ids(self._database, query)

    def image(self, image_id: str) -> ImageView:
        return _view(self._row(image_id))

    def recipe(self, image_id: str) -> Recipe:
        try:
            return from_text(self._row(image_id)["recipe"])
        except ValidationError:
            raise StorageError(
                "The recipe of this picture was written by another version and cannot be read."
            ) from None

    def relatives(self, image_id: str) -> Relatives:
        """What the picture was made from, and what was made from it."""
        row = self._row(image_id)
        made_from = [view for view in self.descent(image_id) if self._exists(view)]
        with self._database.read("read the index of images") as db:
            children = (
                "SELECT * FROM images WHERE parent = ? AND location = ? AND id != ? ORDER BY created DESC LIMIT ?"
            )
            rows = db.execute(children, (row["sha256"], HERE, image_id, RELATIVES)).fetchall()
        made_into = [view for each in rows if (view := _view_if_readable(each))]
        source = "" if made_from else row["parent"]
        return Relatives(made_from=tuple(made_from), made_into=tuple(made_into), source=source)

    def descent(self, image_id: str) -> list[ImageView]:
        """The pictures that an image was made from, one from the other, the latest first, as far as they were made here."""
        found: list[ImageView] = []
        seen, parent = {self._row(image_id)["sha256"]}, self.recipe(image_id).parent
        while parent and parent not in seen:
            seen.add(parent)
            row = self._row_of(parent)
            if row is None:
                break
            found.append(_view(row))
            parent = from_text(row["recipe"]).parent
        return found

    def recipe_of(self, pixels: str) -> Recipe | None:
        """The recipe of a picture with that hash, if one was made here."""
        row = self._row_of(pixels)
        return None if row is None else from_text(row["recipe"])

    def file(self, image_id: str) -> Path:
        """The image's file; raises StorageError if it was deleted."""
        path = below(self.outputs, self._row(image_id)["path"])
        if not path.is_file():
            raise StorageError("The file of this image is no longer there.")
        return path

    def delete(self, image_id: str) -> None:
        """Move the image's file to the trash; its row stays, so that it can be restored."""
        self.file(image_id)
        throw_away(self.outputs, self._row(image_id)["path"])
        self._locate(image_id, TRASHED)

    def restore(self, image_id: str) -> None:
        """Raises StorageError if the file is not in the trash."""
        take_back(self.outputs, self._row(image_id)["path"])
        self._locate(image_id, HERE)

    def trashed_file(self, image_id: str) -> Path:
        """The image's file in the trash; raises StorageError if it is not there."""
        return lying(self.outputs, self._row(image_id)["path"])

    def purge(self, image_id: str) -> None:
        """Delete the file of an image in the trash for good. Its row stays, listed nowhere, for the job that made it."""
        remove(self.outputs, self._row(image_id)["path"])
        below(self._thumbnails, f"{image_id}.jpg").unlink(missing_ok=True)
        self._locate(image_id, GONE)

    def _locate(self, image_id: str, location: int) -> None:
        with self._database.write("note where the image is") as db:
            db.execute("UPDATE images SET location = ? WHERE id = ?", (location, image_id))

    def set_favourite(self, image_id: str, favourite: bool) -> None:
        self._row(image_id)
        with self._database.write("mark the image") as db:
            db.execute("UPDATE images SET favourite = ? WHERE id = ?", (int(favourite), image_id))

    def thumbnail(self, image_id: str) -> bytes:
        """JPEG of at most 256 px a side, made once and kept, also of an image in the trash."""
        trashed = self._row(image_id)["location"] == TRASHED
        path = self.trashed_file(image_id) if trashed else self.file(image_id)
        kept = below(self._thumbnails, f"{image_id}.jpg")
        try:
            return kept.read_bytes()
        except OSError:
            pass  # not made yet, or deleted
        with explained("read the image"), Image.open(path) as image, decoding.taking(*image.size):
            image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
            data = encode_jpeg(image, quality=85)
        try:
            write_atomically(kept, data)
        except OSError:
            pass  # a full disk costs time here, not the thumbnail
        return data

    def finish_saving(self) -> int:
        """Add the pictures of processes that died while saving to the index and remove their temporary files. Returns how many were added."""
        finished = 0
        for left in unfinished(self._temporary, self.outputs):
            try:
                with explained("save the image"):
                    finished += left.finish() and self._enter(left.target, left.job, left.id)
            except StorageError as error:
                log.warning("%s", error)
                continue  # a later start may have room
            left.temporary.unlink(missing_ok=True)
        return finished

    def prune_thumbnails(self, cap: int = THUMBNAIL_BYTES) -> int:
        """Remove the oldest thumbnails until all together take at most `cap` bytes. Returns how many were removed."""
        kept, pruned = 0, 0
        files = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._thumbnails.glob("*.jpg")]
        for _, size, path in sorted(files, reverse=True):
            kept += size
            if kept > cap:
                path.unlink(missing_ok=True)
                pruned += 1
        return pruned

    def reindex(self) -> int:
        """Add pictures that are missing in the index, as after its loss, by the recipes inside them. Returns how many were added."""
        began, found = time.time(), 0
        for path in sorted(self.outputs.glob("????-??-??/*.png")):
            try:
                if path.stat().st_mtime < began:  # a newer one is being added by a worker
                    found += self._enter(path, LOST_JOB, secrets.token_hex(6))
            except OSError:
                continue
        return found

    def undescribed(self) -> list[str]:
        """Ids of images of an older index, which lack what the gallery finds images by."""
        with self._database.read("read the index of images") as db:
            return [row["id"] for row in db.execute("SELECT id FROM images WHERE words IS NULL")]

    def describe(self) -> int:
        """Fill that in, a few at a time, so that others may write between. Returns how many there were."""
        older = self.undescribed()
        for first in range(0, len(older), DESCRIBED_AT_ONCE):
            with self._database.write("update the index of images") as db:
                for image_id in older[first : first + DESCRIBED_AT_ONCE]:
                    recipe = db.execute("SELECT recipe FROM images WHERE id = ?", (image_id,)).fetchone()["recipe"]
                    columns = described(gallery.as_json(recipe))
                    assignments = ", ".join(f"{name} = ?" for name in columns)
                    db.execute(f"UPDATE images SET {assignments} WHERE id = ?", (*columns.values(), image_id))
        return len(older)

    def _saving(self) -> set[str]:
        """Names of the files that some process is saving just now: it adds them to the index itself."""
        return {left.name.split(".", 3)[-1].removesuffix(".tmp") for left in self._temporary.glob("*.tmp")}

    def _enter(self, path: Path, job: str, image_id: str) -> bool:
        """Add an existing file to the index; False if it is there already or carries no recipe."""
        with self._database.write("add the image to the index") as db:
            if db.execute("SELECT 1 FROM images WHERE path = ?", (self._relative(path),)).fetchone():
                return False
            try:
                data = path.read_bytes()
                recipe, header = from_text(read_texts(data)[RECIPE_KEY]), read_header(data)
            except (OSError, KeyError, InvalidRequest, ValidationError):
                return False
            size = (header.width, header.height)
            self._insert(db, image_id, job, recipe, size, path.stat().st_mtime, path)
        return True

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
        columns = described(recipe.model_dump(mode="json"))
        names = f"id, job, position, seed, width, height, created, path, sha256, recipe, {', '.join(columns)}"
        marks = ", ".join("?" * (len(row) + len(columns)))
        db.execute(f"INSERT INTO images ({names}) VALUES ({marks})", (*row, *columns.values()))

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

    def _row_of(self, pixels: str) -> sqlite3.Row | None:
        with self._database.read("read the index of images") as db:
            row: sqlite3.Row | None = db.execute(
                "SELECT * FROM images WHERE sha256 = ? ORDER BY created", (pixels,)
            ).fetchone()
        return row

    def _view_of(self, pixels: str | None) -> ImageView | None:
        """The picture with that hash, if its file is here."""
        row = self._row_of(pixels or "")
        view = None if row is None or row["location"] != HERE else _view_if_readable(row)
        return view if view is not None and self._exists(view) else None

    def _rows(self, before: float | None, limit: int, favourites: bool) -> list[sqlite3.Row]:
        with self._database.read("read the index of images") as db:
            return db.execute(
                "SELECT * FROM images WHERE created < ? AND favourite >= ? ORDER BY created DESC, rowid DESC LIMIT ?",
                (before if before is not None else float("inf"), int(favourites), limit),
            ).fetchall()


def saved_event(image_id: str, recipe: Recipe, image: Image.Image, path: str) -> events.Image:
    """The event of a picture that was saved at `path`, relative to the outputs."""
    return events.Image(
        id=image_id,
        index=recipe.index,
        seed=recipe.seed,
        width=image.width,
        height=image.height,
        path=path,
        sha256=recipe.pixels or "",
    )


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
        favourite=bool(row["favourite"]),
    )


def _view_if_readable(row: sqlite3.Row) -> ImageView | None:
    """None for a recipe of another version that this one cannot read; its file is still there."""
    try:
        return _view(row)
    except ValidationError:
        return None
