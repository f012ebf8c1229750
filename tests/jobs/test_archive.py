"""The archive: whole files or none, never one over another, recipes that come back, pictures that may be refused."""

import errno
import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from studio.core import infotext
from studio.core.errors import Cancelled, StorageError
from studio.core.events import Done, Step
from studio.core.recipe import Recipe, from_text, pixel_hash
from studio.core.request import MAX_SEED, GenerationRequest
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.frames import FrameStore
from studio.jobs.log import EventLog
from studio.jobs.queue import JobQueue
from studio.jobs.saving import PatientSink
from studio.jobs.storage import PRIVATE
from studio.metadata.containers import read_texts


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path, Database(tmp_path / PRIVATE / "studio.db"))


def recipe(index: int = 0, prompt: str = 'a "cat", 猫') -> Recipe:
    return Recipe(
        request=GenerationRequest(model="m", prompt=prompt, sampler="euler", width=16, height=8, seed=3),
        index=index,
        seed=3 + index,
        model="m",
        model_title="M",
        family="sd1",
        pipeline="P",
        scheduler="S",
        weights={},
        dtype="fp32",
        device="cpu",
        libraries={"torch": "0"},
    )


def picture(mode: str = "RGB") -> Image.Image:
    return Image.linear_gradient("L").resize((16, 8)).convert(mode)


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_a_saved_image_carries_its_recipe_twice_and_is_found_again(archive: Archive) -> None:
    image = picture()
    saved = archive.save(image, recipe(), "job")
    path = archive.file(saved.id)
    assert path.name.endswith(f"-3-{saved.id}.png") and path.parent.parent == archive.outputs
    texts = read_texts(path.read_bytes())
    assert from_text(texts["unnoise"]) == archive.recipe(saved.id)
    assert infotext.parse(texts["parameters"]).prompt == 'a "cat", 猫'
    assert archive.recipe(saved.id).pixels == pixel_hash("RGB", image.size, image.tobytes()) == saved.sha256
    assert (archive.outputs / saved.path).samefile(path)
    with Image.open(path) as again:
        assert again.tobytes() == image.tobytes()


def test_a_picture_that_was_made_again_is_not_archived_twice(archive: Archive) -> None:
    first = archive.save(picture(), recipe(), "job")
    again = recipe()
    again = again.model_copy(
        update={"request": again.request.changed(parts=[{"kind": "attention", "image": first.sha256}])}
    )
    assert archive.save(picture(), again, "job2") == first
    other = archive.save(picture().rotate(180), again, "job3")  # it came out otherwise
    assert other.id != first.id and len(archive.images()) == 2


def test_images_are_paged_newest_first(archive: Archive) -> None:
    ids = [archive.save(picture(), recipe(k), "job").id for k in range(5)]
    first = archive.images(limit=2)
    rest = archive.images(limit=9, before=first[-1].created)
    assert [view.id for view in first + rest] == ids[::-1]
    archive.file(ids[3]).unlink()
    assert [view.id for view in archive.images(limit=2)] == [ids[4], ids[2]]


def test_a_clock_that_jumps_back_overwrites_nothing(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.jobs.archive.time.time", lambda: 1_000_000.0)
    monkeypatch.setattr("studio.jobs.archive.time.localtime", lambda now: time.gmtime(1_000_000.0))
    saved = [archive.save(picture(), recipe(), "job") for _ in range(3)]
    assert len({event.path for event in saved}) == 3
    monkeypatch.setattr("studio.jobs.archive.secrets.token_hex", lambda size: saved[0].id)
    before = archive.file(saved[0].id).read_bytes()
    with pytest.raises(StorageError):
        archive.save(picture().rotate(180), recipe(), "job")
    assert archive.file(saved[0].id).read_bytes() == before


@pytest.mark.parametrize("call", ["os.fsync", "os.link"])
def test_a_full_disk_leaves_no_partial_file(archive: Archive, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"studio.jobs.saving.{call}", full)
        patch.setattr("studio.jobs.saving.os.rename", full)
        with pytest.raises(StorageError, match="the disk is full"):
            archive.save(picture(), recipe(), "job")
    assert not [file for file in archive.outputs.rglob("*") if file.suffix in (".png", ".tmp")]
    assert archive.images() == []
    assert archive.file(archive.save(picture(), recipe(), "job").id).is_file()


KILLED = {  # the moment: what dies instead of being called
    "while it writes": "saving.open = lambda *_: Torn()",
    "before it is moved": "saving.move_without_overwriting = die",
    "before it is in the index": "archive.Archive._insert = die",
    "before the temporary file goes": "saving.Path.unlink = die",
}
SAVE = """
import builtins, os, signal, sys
from pathlib import Path
import studio.jobs.archive as archive
import studio.jobs.saving as saving
from studio.jobs.database import Database
from tests.jobs.test_archive import picture, recipe
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
class Torn:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def write(self, data):
        folder = Path(sys.argv[1]) / ".unnoise" / "tmp"
        (folder / f"{os.getpid()}.job.2026-01-01.120000-3-abc.png.tmp").write_bytes(data[: len(data) // 2])
        die()
out = Path(sys.argv[1])
sink = archive.Archive(out, Database(out / ".unnoise/studio.db"))
MOMENT
sink.save(picture(), recipe(), "job")
"""


@pytest.mark.parametrize("moment", KILLED)
def test_a_picture_that_was_being_saved_when_its_writer_was_killed_is_finished(archive: Archive, moment: str) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SAVE.replace("MOMENT", KILLED[moment]), str(archive.outputs)]
    assert subprocess.run(command, cwd=root, check=False).returncode == -9
    assert len(list(archive.outputs.rglob("*.tmp"))) == 1
    alive = archive.private / "tmp" / f"{os.getppid()}.job.2026-01-01.120000-1-abc.png.tmp"
    alive.touch()
    whole = moment != "while it writes"
    assert archive.finish_saving() == (1 if whole and moment != "before the temporary file goes" else 0)
    assert list(archive.outputs.rglob("*.tmp")) == [alive]
    assert len(list(archive.outputs.rglob("*.png"))) == len(archive.images()) == whole
    for image in archive.images():
        assert (image.job, image.seed) == ("job", 3)
        assert archive.file(image.id).name.endswith(f"-{image.id}.png")
    assert archive.finish_saving() == 0 and len(archive.images()) == whole


def test_a_disk_that_refuses_costs_time_and_not_the_picture(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    refusals = [errno.ENOSPC, errno.ENOSPC, errno.EROFS]

    def refuse(descriptor: int) -> None:
        if refusals:
            raise OSError(refusals.pop(0), "no")

    monkeypatch.setattr("studio.jobs.saving.os.fsync", refuse)
    monkeypatch.setattr("studio.jobs.saving.RETRY_SECONDS", 0)
    sink = PatientSink(archive, said.append, cancelled=lambda: False)
    assert archive.file(sink.save(picture(), recipe(), "job").id).is_file()
    assert [event.message for event in said] == [  # type: ignore[attr-defined]
        "Could not save the image: the disk is full. Free some space. The picture is kept until then, and the queue waits.",
        "Could not save the image: the outputs folder may not be written to. Change its permissions, or start with another --outputs. The picture is kept until then, and the queue waits.",
    ]
    refusals += [errno.ENOSPC] * 9
    with pytest.raises(Cancelled):
        PatientSink(archive, said.append, cancelled=lambda: len(refusals) < 5).save(picture(), recipe(), "job")
    assert len(archive.images()) == 1


def test_thumbnails_are_made_once_and_survive_their_own_loss(archive: Archive) -> None:
    saved = archive.save(picture().resize((1024, 512)), recipe(), "job")
    data = archive.thumbnail(saved.id)
    with Image.open(io.BytesIO(data)) as thumbnail:
        assert thumbnail.format == "JPEG" and thumbnail.size == (256, 128)
    kept = archive.private / "thumbnails" / f"{saved.id}.jpg"
    assert kept.read_bytes() == data == archive.thumbnail(saved.id)
    kept.unlink()
    assert archive.thumbnail(saved.id) == data
    archive.file(saved.id).unlink()
    with pytest.raises(StorageError, match="no longer there"):
        archive.thumbnail(saved.id)


def test_a_path_that_leaves_the_folder_is_refused(archive: Archive) -> None:
    saved = archive.save(picture(), recipe(), "job")
    outside = archive.outputs.parent / "secret.png"
    outside.write_bytes(b"secret")
    with archive._database.write("tamper") as db:
        db.execute("UPDATE images SET path = ?", (f"../{outside.name}",))
    with pytest.raises(StorageError, match="leaves the outputs folder"):
        archive.file(saved.id)


def test_the_oldest_frames_go_first(archive: Archive) -> None:
    frames = FrameStore(archive.private / "frames", archive._database, cap=2500)
    for job in ("a", "b", "c"):
        frames.put(job, 0, 0, "x0", b"j" * 1000)
        frames.settle(job)
    assert frames.get("a", 0, 0, "x0") is None and frames.get("b", 0, 0, "x0") and frames.get("c", 0, 0, "x0")
    frames.put("d", 0, 0, "x0", b"j" * 9000)
    frames.settle("d")  # even one that is too large by itself can be looked at
    assert frames.get("d", 0, 0, "x0") and frames.get("c", 0, 0, "x0") is None
    assert [file.name for file in (archive.private / "frames").iterdir()] == ["d.frames"]


def test_frames_are_found_while_they_are_being_written_and_a_cut_record_is_not_there(archive: Archive) -> None:
    folder = archive.private / "frames"
    writer, reader = FrameStore(folder, archive._database), FrameStore(folder, archive._database)
    assert reader.get("a", 0, 0, "x0") is None
    for step in range(3):
        writer.put("a", 1, step, "xt", b"%d" % step * 100)
        assert reader.get("a", 1, step, "xt") == b"%d" % step * 100
        assert reader.get("a", 1, step, "x0") is None and reader.get("a", 0, step, "xt") is None
    writer.put("b", 0, 0, "x0", b"other")  # another job between
    whole = (folder / "a.frames").read_bytes()
    writer.put("a", 1, 1, "xt", b"later")
    assert reader.get("a", 1, 1, "xt") == b"later" and reader.get("b", 0, 0, "x0") == b"other"
    (folder / "a.frames").write_bytes(whole[:-1])  # the worker died while it wrote
    fresh = FrameStore(folder, archive._database)
    assert fresh.get("a", 1, 2, "xt") is None and fresh.get("a", 1, 1, "xt") == b"1" * 100


def test_all_frames_of_an_image_come_far_apart_ones_first(archive: Archive) -> None:
    folder = archive.private / "frames"
    writer, reader = FrameStore(folder, archive._database), FrameStore(folder, archive._database)
    assert list(reader.film("a", 0, "x0")) == []
    for step in range(10):
        for image in (0, 1):
            writer.put("a", image, step, "x0", b"%d %d" % (image, step))
        writer.put("a", 0, step, "xt", b"another kind")
    film = reader.film("a", 1, "x0")
    first = next(film)
    (folder / "a.frames").unlink()  # let go while it is read
    emitted = [first, *film]
    assert [step for step, _ in emitted] == [0, 8, 4, 2, 6, 1, 3, 5, 7, 9]
    assert all(data == b"1 %d" % step for step, data in emitted)
    assert list(reader.film("../a", 1, "x0")) == list(reader.film("a", 1, "latent")) == []


def test_a_lost_index_is_made_again_from_the_pictures(archive: Archive) -> None:
    saved = [archive.save(picture(), recipe(k), "job") for k in range(3)]
    stranger = archive.file(saved[0].id).parent / "holiday.png"
    stranger.write_bytes(png(picture()))
    with archive._database.write("lose it") as db:
        db.execute("DELETE FROM images")
    assert archive.reindex() == 3 and archive.reindex() == 0
    assert sorted(view.path for view in archive.images()) == sorted(event.path for event in saved)
    assert archive.images()[0].request == recipe().request


def test_the_largest_seed_comes_back_exactly(archive: Archive) -> None:
    last = recipe().model_copy(update={"seed": MAX_SEED})
    assert archive.image(archive.save(picture(), last, "job").id).seed == MAX_SEED


def ended_job(database: Database, log: EventLog, frames: FrameStore, seed: int) -> str:
    """A job of two steps, each with a frame, as the studio leaves it behind."""
    job = JobQueue(database, log).put(GenerationRequest(seed=seed))
    for index in (0, 1):
        frames.put(job, 0, index, "x0", b"j" * 1000)
        log.append(job, Step(index=index, total=2, timestep=1.0, seconds=0.1, elapsed=0.1, frames=("x0",)))
    log.append(job, Done(seconds=1.0))
    log.flush()
    frames.settle(job)
    return job


@pytest.mark.parametrize("bound", [{"jobs": 2}, {"cap": 5500}])
def test_steps_of_old_jobs_go_with_their_frames_and_nothing_else_does(archive: Archive, bound: dict[str, int]) -> None:
    database = archive._database
    log, frames = EventLog(database), FrameStore(archive.private / "frames", database, **bound)
    saved = archive.save(picture(), recipe(), "job")
    jobs = [ended_job(database, log, frames, seed) for seed in range(4)]
    kinds = [[event.kind for event in log.follow(job)] for job in jobs]
    assert kinds == [["queued", "done"], ["queued", "done"], *[["queued", "step", "step", "done"]] * 2]
    assert [frames.get(job, 0, 1, "x0") is not None for job in jobs] == [False, False, True, True]
    assert [JobQueue(database, log).get(job).state for job in jobs] == ["done"] * 4
    assert archive.file(saved.id).is_file() and archive.image(saved.id).id == saved.id
    log.close()


def test_frames_that_no_job_can_address_are_swept(archive: Archive) -> None:
    log, frames = EventLog(archive._database), FrameStore(archive.private / "frames", archive._database)
    known = ended_job(archive._database, log, frames, 1)
    frames.put("lost", 0, 0, "x0", b"j")
    frames.sweep()
    assert [file.stem for file in frames.folder.iterdir()] == [known]
    log.close()


def test_the_oldest_thumbnails_go_and_are_made_again(archive: Archive) -> None:
    images = [archive.save(picture(), recipe(k), "job").id for k in range(3)]
    sizes = [len(archive.thumbnail(image)) for image in images]
    for age, image in enumerate(images):
        os.utime(archive.private / "thumbnails" / f"{image}.jpg", (age, age))
    assert archive.prune_thumbnails(cap=sizes[1] + sizes[2]) == 1
    assert {file.stem for file in (archive.private / "thumbnails").iterdir()} == set(images[1:])
    assert len(archive.thumbnail(images[0])) == sizes[0]


def test_a_deleted_image_lies_in_the_trash_and_comes_back_as_it_was(archive: Archive, tmp_path: Path) -> None:
    kept, deleted = (archive.save(picture(), recipe(index), "job").id for index in (0, 1))
    path, data = archive.file(deleted), archive.file(deleted).read_bytes()
    archive.delete(deleted)
    assert [view.id for view in archive.images()] == [kept]
    assert (tmp_path / "trash" / path.relative_to(tmp_path)).read_bytes() == data
    assert not path.exists()
    with pytest.raises(StorageError, match="no longer there"):
        archive.delete(deleted)
    archive.restore(deleted)
    assert path.read_bytes() == data
    assert {view.id for view in archive.images()} == {kept, deleted}
    with pytest.raises(StorageError, match="no longer in the trash"):
        archive.restore(deleted)


def test_the_trash_is_never_emptied_into_a_picture_of_the_same_name(archive: Archive) -> None:
    image = archive.save(picture(), recipe(), "job").id
    path = archive.file(image)
    archive.delete(image)
    path.write_bytes(b"another picture")
    with pytest.raises(StorageError):
        archive.restore(image)
    assert path.read_bytes() == b"another picture"


def test_favourites_can_be_listed_alone(archive: Archive) -> None:
    first, second = (archive.save(picture(), recipe(index), "job").id for index in (0, 1))
    archive.set_favourite(first, True)
    assert [view.id for view in archive.images(favourites=True)] == [first]
    assert [view.favourite for view in archive.images()] == [False, True]
    archive.set_favourite(first, False)
    assert archive.images(favourites=True) == []
    assert archive.images()[0].id == second
