"""A person's own pictures: what is read, what is refused in a sentence, and a LoRA and a DDPM trained on them."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.manager.disk.catalog import Catalog
from studio.training.cli import main
from studio.training.config import DataConfig, parse
from studio.training.datasets.folder import OwnPictures, bucket_shapes, listing, nearest_shape
from studio.training.look import look
from studio.training.runs import RECIPE as RECIPE_FILE
from studio.training.runs import Runs
from tests.models.tiny_models import stable_diffusion
from tests.sweeps import one_in
from tests.training import pictures
from tests.training.test_runs import RECIPE, until


def test_pictures_are_read_with_their_captions_and_bad_files_are_named(tmp_path: Path) -> None:
    view = look(DataConfig(name="folder", folder=str(pictures.folder(tmp_path / "own")), size=64, crop="buckets"))
    assert (view.pictures, view.captioned, view.small) == (12, 8, 0)
    assert [name for name, _ in view.bad] == ["broken.png", "film.gif", "half.jpg"]
    assert sum(count for _, _, count in view.buckets) == 12
    assert len(view.buckets) == 3
    said = {each.name: each.caption for each in view.first}
    assert (said["p00.png"], said["p02.png"], said["p04.png"]) == ("a first ball", "from the table", "")
    assert said["3_red_ball/p01.jpg"] == "red ball"
    assert view.first[0].picture.startswith("data:image/jpeg;base64,")


def test_mirrored_pictures_follow_the_others_and_counts_are_read_from_the_folder(tmp_path: Path) -> None:
    data = OwnPictures(str(pictures.folder(tmp_path / "own")), size=64, flip=True)
    assert len(data) == 24
    assert np.array_equal(data[13].image, data[1].image[:, ::-1])
    assert np.array_equal(data[24].image, data[0].image)
    assert [data.repeats(data.entries.index(e)) for e in data.entries] == [3] * 6 + [1] * 6
    first = next(i for i, e in enumerate(data.entries) if e.name == "p00.png")
    assert data.retellings(first, 3) == ["the same in other words"]


def test_photographs_lie_upright_and_what_is_transparent_is_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    Image.new("RGB", (200, 100), "red").save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGBA", (100, 100), (0, 0, 0, 0)).save(tmp_path / "b.png")
    found = listing(str(tmp_path)).entries
    assert [(e.width, e.height) for e in found] == [(100, 200), (100, 100)]
    assert OwnPictures(str(tmp_path), size=64)[1].image.min() == 255


def test_one_picture_is_enough_and_none_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="holds no picture"):
        listing(str(tmp_path))
    with pytest.raises(InvalidRequest, match="no folder or zip called 'none'"):
        listing(str(tmp_path / "none"))
    with pytest.raises(InvalidRequest, match="Choose a folder"):
        listing(" ")
    (tmp_path / "one.png").write_bytes(pictures.png())
    data = OwnPictures(str(tmp_path), size=64)
    assert np.array_equal(data[5].image, data[0].image)


def test_buckets_have_as_many_pixels_and_take_what_is_most_similar() -> None:
    for size in (64, 128, 512, 1024):
        shapes = bucket_shapes(size)
        assert (size, size) in shapes
        assert all(w * h <= size * size and 0.5 <= w / h <= 2 and w % 16 == h % 16 == 0 for w, h in shapes)
        assert nearest_shape(10, 10, shapes) == (size, size)
    assert nearest_shape(4000, 3000, bucket_shapes(512)) == (576, 448)
    with pytest.raises(InvalidRequest, match="buckets are for LoRA"):
        parse(RECIPE | {"data": {"name": "folder", "crop": "buckets"}})


UNSAFE = {
    "leads out": {"../out.png": pictures.png(), "a.png": pictures.png()},
    "is a link": {"link.png": b"/etc/passwd"},
    "times its size": {"a.bmp": bytes(30_000_000)},
    "no picture": {"notes.txt": b"nothing"},
}


@pytest.mark.parametrize("reason", UNSAFE)
def test_a_zip_that_is_not_safe_is_refused_and_nothing_of_it_stays(reason: str, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", tmp_path, tmp_path / "models")
    part = runs.new_upload()
    pictures.zipped(part, UNSAFE[reason], links=("link.png",))
    with pytest.raises(InvalidRequest, match=reason) as refused:
        runs.keep_upload(part, "Holiday.zip")
    assert "Holiday.zip" in str(refused.value)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_zip_of_a_million_entries_or_that_is_none_is_refused_before_it_is_listed(tmp_path: Path) -> None:
    path = pictures.zipped(tmp_path / "a.zip", {"a.png": pictures.png()})
    data = path.read_bytes()
    at = data.rfind(b"PK\x05\x06")
    path.write_bytes(data[: at + 8] + struct.pack("<HH", 60_000, 60_000) + data[at + 12 :])
    with pytest.raises(InvalidRequest, match="more than 50,000 files"):
        listing(str(path))
    path.write_bytes(data[:at] + b"PK\x06\x07" + bytes(16) + data[at:])
    with pytest.raises(InvalidRequest, match="65,000 files"):
        listing(str(path))
    path.write_bytes(b"PK nothing")
    with pytest.raises(InvalidRequest, match="not a zip"):
        listing(str(path))


def test_an_uploaded_zip_is_kept_and_damaged_files_in_it_are_named(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", tmp_path, tmp_path / "models")
    part = runs.new_upload()
    good = pictures.png(3)
    pictures.zipped(part, {"cat/a.png": good, "cat/b.png": pictures.png(4), "__MACOSX/x.png": b"?"})
    with zipfile.ZipFile(part) as opened:
        at = opened.getinfo("cat/b.png").header_offset
    data = bytearray(part.read_bytes())
    data[at + 60] ^= 255
    part.write_bytes(data)
    kept = runs.keep_upload(part, "../My cats!.zip")
    assert Path(kept).parent == (tmp_path / "runs" / "pictures").resolve()
    found = listing(kept)
    assert [(e.name, e.captions) for e in found.entries] == [("cat/a.png", ("cat",))]
    assert [name for name, _ in found.bad] == ["cat/b.png"]
    assert runs.all() == []


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    base = stable_diffusion(tmp_path / "models" / "tiny", vae="kl")
    task = {
        "kind": "lora", "base": str(base), "rank": 2, "alpha": 2, "trigger": "xyz", "text_encoder": True,
        "layers": ["to_q"], "sample_prompts": [""], "sample_steps": 2,
    }  # fmt: skip
    data = {"name": "folder", "size": 64, "crop": "buckets", "flip": True}
    lora = {"name": "own", "steps": 5, "batch": 2, "precision": "fp32", "threads": 1, "data": data, "task": task}
    (recipes / "own.yaml").write_text(yaml.safe_dump(lora))
    return Runs(tmp_path / "runs", recipes, tmp_path / "models", niceness=0)


def train_here(runs: Runs, path: Path) -> None:
    """What a run's process does."""
    assert main([str(path / RECIPE_FILE), "--run", str(path), "--json"]) == 0


@pytest.mark.parametrize("in_a_process", one_in(2, [False, True]))  # a run's process: test_runs.py, by default
def test_a_lora_is_trained_on_own_pictures_exported_and_listed(
    in_a_process: bool, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_a_process:
        monkeypatch.setattr(Runs, "_launch", train_here)
    own = str(pictures.folder(tmp_path / "own"))
    with pytest.raises(InvalidRequest, match="Choose a folder"):
        runs.start("own", {})
    with pytest.raises(InvalidRequest, match="upload a zip"):
        runs.start("own", {"data": {"name": "folder", "folder": own}}, anywhere=False)
    assert runs.all() == []
    run = runs.start("own", {"data.folder": own})
    until(lambda: runs.get(run).state != "running")
    view = runs.get(run)
    assert (view.state, view.step, view.exportable) == ("done", 5, True), view.message
    model = runs.export(run)
    assert runs.get(run).model == model
    listed = {info.id: info for info in Catalog((tmp_path / "models",), None).models()}
    assert (listed[model].kind, listed[model].family, listed[model].problem) == ("lora", "sd1", None)
    assert list((tmp_path / "models").rglob("*.part")) == []


def test_a_ddpm_from_nothing_learns_own_pictures(runs: Runs, tmp_path: Path) -> None:
    from studio.training.trainer import Trainer

    own = pictures.folder(tmp_path / "own", count=4)
    data = {"name": "folder", "folder": str(own), "size": 16, "flip": True}
    trainer = Trainer(parse(RECIPE | {"data": data, "steps": 2}), tmp_path / "run")
    assert trainer.learner.x.shape == (8, 3, 16, 16)
    assert list(trainer.run())[-1].final
