"""The gallery's queries against a plain filter in Python; an index of an older version; what a person does in the folders."""

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import StorageError
from studio.core.gallery import GalleryQuery
from studio.core.parts import LoRA
from studio.core.tasks import ImageToImage
from studio.jobs import gallery
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.schema import UPGRADES
from studio.jobs.storage import PRIVATE
from tests import gallery_pictures as pictures


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    database = Database(tmp_path / PRIVATE / "studio.db")
    yield Archive(tmp_path, database)
    database.close()


def fits(row: dict[str, Any], query: GalleryQuery) -> bool:
    asked = row["request"]
    wanted, unwanted = query.terms()
    prompt = asked.prompt.casefold()
    loras = [part.model for part in asked.parts if isinstance(part, LoRA)]
    return (
        all(word in prompt for word in wanted)
        and not any(word in prompt for word in unwanted)
        and query.model in ("", asked.model)
        and query.sampler in ("", asked.sampler)
        and query.task in ("", asked.task.kind)
        and query.size in ("", f"{asked.width}x{asked.height}")
        and (not query.lora or query.lora in loras)
        and (row["favourite"] or not query.favourites)
        and (query.since is None or row["created"] >= query.since)
        and (query.until is None or row["created"] < query.until)
    )


def order(rows: list[dict[str, Any]], sort: str) -> list[str]:
    keys = {
        "newest": lambda row: (-row["created"], -row["row"]),
        "oldest": lambda row: (row["created"], row["row"]),
        "largest": lambda row: (-row["request"].width * row["request"].height, -row["row"]),
    }
    return [row["id"] for row in sorted(rows, key=keys[sort])]


def query(rng: random.Random, times: list[float]) -> GalleryQuery:
    def sometimes(value: Any, otherwise: Any = "") -> Any:
        return value if rng.random() < 0.25 else otherwise

    words = [rng.choice(("", "", "-")) + rng.choice((*pictures.WORDS, '"red heart"', "HEART", "%", "_", "-"))]
    return GalleryQuery(
        search=" ".join(words * rng.choice((0, 1, 1)) + sometimes([rng.choice(pictures.WORDS)], [])),
        model=sometimes(rng.choice(pictures.MODELS)),
        sampler=sometimes(rng.choice(pictures.SAMPLERS)),
        task=sometimes(rng.choice(("text_to_image", "image_to_image"))),
        size=sometimes("128x64"),
        lora=sometimes(rng.choice(pictures.LORAS)),
        favourites=sometimes(True, False),
        since=sometimes(rng.choice(times), None),
        until=sometimes(rng.choice(times), None),
        sort=rng.choice(list(gallery.KEYS)),
        limit=rng.choice((1, 7, 50)),
    )


def test_every_query_finds_what_a_plain_filter_finds_page_by_page(archive: Archive) -> None:
    rows = pictures.rows(archive, 300)
    rng = random.Random(5)
    found_any = 0
    for _ in range(150):
        asked = query(rng, [row["created"] for row in rows])
        expected = order([row for row in rows if fits(row, asked)], asked.sort)
        first = page = gallery.page(archive._database, asked)
        seen = [image.id for image in page.images]
        while page.next and len(seen) < 3 * asked.limit:
            page = gallery.page(archive._database, asked.model_copy(update={"cursor": page.next}))
            seen += [image.id for image in page.images]
        assert seen == expected[: len(seen)] and (page.next or len(seen) == len(expected))
        assert first.total == len(expected)
        assert gallery.ids(archive._database, asked) == expected
        if first.start:  # any page at once, counted from where the first one began
            jump = asked.model_copy(update={"cursor": first.start, "skip": len(expected) // 2})
            images = gallery.page(archive._database, jump).images
            assert [image.id for image in images] == expected[len(expected) // 2 :][: asked.limit]
        found_any += bool(expected)
    assert found_any > 50


def test_counts_are_those_of_all_pictures(archive: Archive) -> None:
    rows = pictures.rows(archive, 60)
    counts = gallery.counts(archive._database, trash=False)
    assert counts.pictures == 60 and gallery.counts(archive._database, trash=True).pictures == 0
    assert counts.favourites == sum(bool(row["favourite"]) for row in rows)
    for name, count in [(choice.value, choice.count) for choice in (*counts.models, *counts.loras, *counts.sizes)]:
        asked = (
            {"model": name} if name in pictures.MODELS else {"lora": name} if name in pictures.LORAS else {"size": name}
        )
        assert gallery.page(archive._database, GalleryQuery(**asked)).total == count
    assert [choice.title for choice in counts.tasks] == ["Text to image", "Image to image"]


@pytest.mark.parametrize("cursor", ["1e999:1", "1.2.3:4"])
def test_a_cursor_that_is_none_of_ours_is_followed_by_nothing(archive: Archive, cursor: str) -> None:
    pictures.rows(archive, 3)
    assert len(gallery.page(archive._database, GalleryQuery(cursor=cursor, sort="oldest")).images) == 0


def test_a_filter_reads_the_index_and_no_recipes(archive: Archive) -> None:
    pictures.rows(archive, 3)
    where, values = gallery.condition(GalleryQuery(search="red -blue", lora="loras/ink", size="64x64", model="m"))
    with archive._database.read("plan") as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT count(*) FROM images WHERE {where}", values).fetchall()
    assert "COVERING INDEX images_listed" in plan[0]["detail"]


def test_an_older_index_is_filled_in_from_its_recipes(archive: Archive, tmp_path: Path) -> None:
    asked = pictures.request(random.Random(3)).changed(prompt="Ein Boot, STRASSE", parts=(LoRA(model="loras/ink"),))
    archive.save(pictures.picture(), pictures.recipe(asked), "job")
    with archive._database.read("copy") as db:
        saved = dict(db.execute("SELECT * FROM images").fetchone())
    older = tmp_path / "older.db"
    with sqlite3.connect(older) as db:
        for step in UPGRADES[:4]:
            db.executescript(step)
        db.execute("PRAGMA user_version = 4")
        columns = [row[1] for row in db.execute("PRAGMA table_info(images)")]
        for number, text in enumerate((saved["recipe"], "not JSON", '{"request": 5}')):
            values = [
                saved[name] if name not in ("id", "recipe") else {"id": number, "recipe": text}[name]
                for name in columns
            ]
            db.execute(f"INSERT INTO images ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values)
    db.close()
    upgraded = Archive(tmp_path, Database(older))
    assert upgraded.describe() == 3 and upgraded.describe() == 0
    with upgraded._database.read("compare") as db:
        filled = [dict(row) for row in db.execute("SELECT * FROM images ORDER BY id")]
    assert filled[0] | {"id": saved["id"]} == saved
    assert len(gallery.page(upgraded._database, GalleryQuery()).images) == 3  # what cannot be read is still a picture
    upgraded._database.close()


def ids(archive: Archive, **asked: Any) -> list[str]:
    return [image.id for image in archive.gallery(GalleryQuery(**asked)).images]


def test_the_trash_is_a_list_of_its_own_and_is_emptied_for_good(archive: Archive) -> None:
    first, second = (
        archive.save(pictures.picture(), pictures.recipe(pictures.request(random.Random(k))), "job").id for k in (1, 2)
    )
    archive.thumbnail(first)
    archive.delete(first)
    assert (ids(archive), ids(archive, trash=True)) == ([second], [first])
    assert archive.thumbnail(first) and archive.trashed_file(first).is_file()
    archive.restore(first)
    assert (ids(archive), ids(archive, trash=True)) == ([second, first], [])
    with pytest.raises(StorageError):
        archive.purge(first)  # only what lies in the trash
    archive.delete(first)
    archive.purge(first)
    assert (ids(archive), ids(archive, trash=True)) == ([second], [])
    assert not list(archive.outputs.rglob(f"*{first}*"))
    assert archive.recipe(first)


def test_what_a_person_does_in_the_folders_is_seen(archive: Archive) -> None:
    saved = [
        archive.save(pictures.picture(c), pictures.recipe(pictures.request(random.Random(k))), "job")
        for k, c in enumerate(("teal", "navy", "plum"))
    ]
    a, b, c = (each.id for each in saved)
    files = [archive.file(each.id) for each in saved]
    assert ids(archive) == [c, b, a]
    for file in files:  # long ago, or the disk's clock may not have moved on since
        os.utime(file, (1e9, 1e9))
    kept = files[0].read_bytes()
    files[0].unlink()
    trash = archive.outputs / "trash" / files[1].parent.name
    trash.mkdir(parents=True)
    files[1].rename(trash / files[1].name)
    (archive.outputs / "dropped.png").write_bytes(files[2].read_bytes())
    (archive.outputs / "photo.png").write_bytes(b"no picture of ours")
    listed = ids(archive)
    assert len(listed) == 2 and c in listed and a not in listed
    dropped = next(image for image in listed if image != c)
    assert archive.file(dropped).name == "dropped.png" and archive.recipe(dropped) == archive.recipe(c)
    assert ids(archive, trash=True) == [b]
    files[0].write_bytes(kept)
    assert a in ids(archive)
    files[2].parent.rename(archive.outputs / "elsewhere")
    assert ids(archive) == [dropped]


def test_a_picture_that_is_being_saved_is_left_to_who_saves_it(archive: Archive) -> None:
    saved = archive.save(pictures.picture(), pictures.recipe(pictures.request(random.Random(1))), "job")
    file = archive.file(saved.id)
    with archive._database.write("forget") as db:
        db.execute("DELETE FROM images")
    busy = archive._temporary / f"1.job.{file.parent.name}.{file.name}.tmp"
    busy.write_bytes(b"")
    assert ids(archive) == []
    busy.unlink()
    assert len(ids(archive)) == 1


def test_relatives_are_what_a_picture_came_from_and_what_came_from_it(archive: Archive) -> None:
    asked = pictures.request(random.Random(1))
    first = archive.save(
        pictures.picture("teal"), pictures.recipe(asked.changed(task={"kind": "text_to_image"})), "job"
    )
    made = asked.changed(task=ImageToImage(image=first.sha256))
    second = archive.save(pictures.picture("navy"), pictures.recipe(made, parent=first.sha256), "job")
    third = archive.save(pictures.picture("plum"), pictures.recipe(made, parent=second.sha256), "job")
    found = archive.relatives(second.id)
    assert [view.id for view in found.made_from] == [first.id]
    assert [view.id for view in found.made_into] == [third.id]
    assert [view.id for view in archive.relatives(third.id).made_from] == [second.id, first.id]
    foreign = asked.changed(task=ImageToImage(image="a" * 64))
    fourth = archive.save(pictures.picture("pink"), pictures.recipe(foreign, parent="a" * 64), "job")
    assert archive.relatives(fourth.id).source == "a" * 64
