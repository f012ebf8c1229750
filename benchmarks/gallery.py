"""The gallery over 20,000 pictures: its first page, a search, a page from the middle, and the list of all ids.

    python benchmarks/gallery.py [--pictures 20000] [--rounds 9]

Each picture has a recipe in the index and a file in the outputs folder (links to one PNG). Prints milliseconds, the median over
the rounds, and ratios to the bare SQL that finds the same rows: what checking the folders and making the answer cost on top.
"""

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from studio.core.gallery import GalleryQuery
from studio.jobs import gallery
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.folder_scan import SETTLED_NS
from studio.jobs.storage import PRIVATE
from tests.gallery_pictures import rows


def milliseconds(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """The median of each, all of them in turn."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for times, call in zip(took, calls, strict=True):
            began = time.perf_counter()
            call()
            times.append(1000 * (time.perf_counter() - began))
    return [statistics.median(times) for times in took]


def bare(database: Database, query: GalleryQuery) -> Callable[[], Any]:
    """The same rows and the same count by SQL alone."""
    where, values = gallery.condition(query)
    page = f"SELECT id, recipe FROM images WHERE {where} ORDER BY created DESC LIMIT ? OFFSET ?"

    def run() -> None:
        with database.read("measure") as db:
            db.execute(page, [*values, query.limit, query.skip]).fetchall()
            if not query.cursor:
                db.execute(f"SELECT count(*) FROM images WHERE {where}", values).fetchone()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"$ python {shlex.join(sys.argv)}")
    with tempfile.TemporaryDirectory() as place:
        database = Database(Path(place) / PRIVATE / "studio.db")
        archive = Archive(Path(place), database)
        rows(archive, arguments.pictures, files=True)
        began = time.perf_counter()
        start = archive.gallery(GalleryQuery()).start
        print(
            f"{arguments.pictures:,} pictures; first look at the folders {1000 * (time.perf_counter() - began):.0f} ms"
        )
        time.sleep(SETTLED_NS / 1e9)  # folders that have just changed are read again
        queries = {
            "first page": GalleryQuery(),
            "search": GalleryQuery(search="red -heart straße"),
            "filters": GalleryQuery(lora="loras/ink", size="64x64", sampler="euler"),
            "a page from the middle": GalleryQuery(cursor=start, skip=arguments.pictures // 2),
        }
        for name, query in queries.items():
            ours, sql = milliseconds(arguments.rounds, lambda q=query: archive.gallery(q), bare(database, query))
            print(f"{name:24} {ours:7.1f} ms   bare SQL {sql:6.1f} ms   ratio {ours / sql:5.2f}", flush=True)
        ids, counts = milliseconds(
            arguments.rounds,
            lambda: archive.gallery_ids(GalleryQuery()),
            lambda: archive.gallery_counts(trash=False),
        )
        print(f"{'all ids':24} {ids:7.1f} ms\n{'counts, not waited for':24} {counts:7.1f} ms")
        database.close()


if __name__ == "__main__":
    main()
