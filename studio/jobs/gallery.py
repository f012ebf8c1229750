"""Lists archived pictures with filters, page by page: each query is one of SQL over an index that holds all it filters by.

Depends on the archive's table alone; files are looked at elsewhere (`folder_scan`).
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from studio.core.gallery import Choice, Filters, GalleryCounts, GalleryImage, GalleryPage, GalleryQuery
from studio.core.samplers import SOLVERS
from studio.core.tasks import TASKS
from studio.jobs.database import Database

HERE, TRASHED, GONE = 0, 1, 2  # where a picture's file is: in the outputs folder, in its trash, nowhere
KEYS = {"newest": ("created", "DESC"), "oldest": ("created", "ASC"), "largest": ("width * height", "DESC")}
READING = "read the index of images"
Row = sqlite3.Row


def page(database: Database, query: GalleryQuery) -> GalleryPage:
    """The pictures after the query's cursor; with their total if it has none."""
    where, values = condition(query)
    key, direction = KEYS[query.sort]
    after, place = _after(query.cursor, key, direction)
    order = f"ORDER BY {key} {direction}, rowid {direction}"
    chosen = f"SELECT rowid FROM images WHERE {where} AND {after} {order} LIMIT ? OFFSET ?"
    columns = f"rowid, {key} AS sort_key, id, job, position, width, height, created, title, task, favourite, recipe"
    with database.read(READING) as db:
        found = [row[0] for row in db.execute(chosen, [*values, *place, query.limit + 1, query.skip])]
        more, found = len(found) > query.limit, found[: query.limit]
        marks = ",".join("?" * len(found))
        rows = db.execute(f"SELECT {columns} FROM images WHERE rowid IN ({marks}) {order}", found).fetchall()
        total = None if query.cursor else _count(db, where, values)
    step = 1 if direction == "DESC" else -1
    return GalleryPage(
        images=tuple(map(_image, rows)),
        start=_cursor(rows[0], step) if rows else "",
        next=_cursor(rows[-1]) if more else "",
        total=total,
    )


def ids(database: Database, query: GalleryQuery) -> list[str]:
    """Of all pictures that the query's filters fit, in its order."""
    where, values = condition(query)
    key, direction = KEYS[query.sort]
    listed = f"SELECT id FROM images WHERE {where} ORDER BY {key} {direction}, rowid {direction}"
    with database.read(READING) as db:
        return [row[0] for row in db.execute(listed, values)]


def condition(filters: Filters) -> tuple[str, list[Any]]:
    """The filters as an SQL condition and its values."""
    tests: list[tuple[str, Any]] = [("location = ?", TRASHED if filters.trash else HERE)]
    tests += [(f"{name} = ?", value) for name in ("model", "task", "sampler") if (value := getattr(filters, name))]
    if filters.size:
        tests += zip(("width = ?", "height = ?"), map(int, filters.size.split("x")), strict=True)
    if filters.favourites:
        tests.append(("favourite = ?", 1))
    if filters.lora:
        tests.append(("instr(loras, ?)", f"\n{filters.lora}\n"))
    if filters.since is not None:
        tests.append(("created >= ?", filters.since))
    if filters.until is not None:
        tests.append(("created < ?", filters.until))
    wanted, unwanted = filters.terms()
    tests += [("instr(words, ?)", word) for word in wanted] + [("NOT instr(words, ?)", word) for word in unwanted]
    return " AND ".join(test for test, _ in tests), [value for _, value in tests]


def _after(cursor: str, key: str, direction: str) -> tuple[str, list[Any]]:
    if not cursor:
        return "1", []
    value, _, row = cursor.rpartition(":")
    sign = "<" if direction == "DESC" else ">"
    try:
        return f"({key}, rowid) {sign} (?, ?)", [float(value), int(row)]
    except ValueError:
        return "0", []  # none of our cursors: nothing follows


def _cursor(row: Row, step: int = 0) -> str:
    return f"{row['sort_key']!r}:{row['rowid'] + step}"


def _image(row: Row) -> GalleryImage:
    recipe = as_json(row["recipe"])
    request = recipe.get("request")
    prompt = recipe.get("prompt")
    if prompt is None and isinstance(request, dict):
        prompt = request.get("prompt")
    return GalleryImage(
        id=row["id"],
        job=row["job"],
        index=row["position"],
        seed=str(recipe.get("seed", "")),
        width=row["width"],
        height=row["height"],
        created=row["created"],
        prompt=str(prompt or ""),
        title=row["title"],
        task=row["task"],
        favourite=bool(row["favourite"]),
    )


def as_json(recipe: str) -> dict[str, Any]:
    """The recipe's fields, of whatever version; none where a hand has damaged it."""
    try:
        values = json.loads(recipe)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _count(db: sqlite3.Connection, where: str, values: Iterable[Any]) -> int:
    return int(db.execute(f"SELECT count(*) FROM images WHERE {where}", [*values]).fetchone()[0])


def counts(database: Database, *, trash: bool) -> GalleryCounts:
    """In one pass over the index."""
    columns = "model, title, task, sampler, width, height, loras, favourite"
    grouped = f"SELECT {columns}, count(*) AS n FROM images WHERE location = ? GROUP BY {columns}"
    with database.read(READING) as db:
        found = db.execute(grouped, [TRASHED if trash else HERE]).fetchall()
        trashed = _count(db, "location = ?", [TRASHED])
    titles = {row["model"]: row["title"] for row in found}
    return GalleryCounts(
        pictures=sum(row["n"] for row in found),
        favourites=sum(row["n"] for row in found if row["favourite"]),
        trash=trashed,
        models=_choices(found, lambda row: [row["model"]], lambda value: titles[value]),
        tasks=_choices(found, lambda row: [row["task"]], lambda value: _title(TASKS, value)),
        samplers=_choices(found, lambda row: [row["sampler"]], _sampler),
        sizes=_choices(found, lambda row: [f"{row['width']}x{row['height']}"], lambda value: value.replace("x", " × ")),
        loras=_choices(
            found, lambda row: set(filter(None, row["loras"].split("\n"))), lambda value: value.rpartition("/")[2]
        ),
    )


def _choices(
    rows: list[Row], values: Callable[[Row], Iterable[str]], title: Callable[[str], str]
) -> tuple[Choice, ...]:
    """The most frequent first."""
    counter: Counter[str] = Counter()
    for row in rows:
        for value in filter(None, values(row)):
            counter[value] += row["n"]
    return tuple(Choice(value=value, title=title(value), count=count) for value, count in counter.most_common())


def _title(tasks: Any, name: str) -> str:
    return tasks[name].title if name in tasks else name


def _sampler(name: str) -> str:
    return SOLVERS.get(name).title if name in SOLVERS else name
