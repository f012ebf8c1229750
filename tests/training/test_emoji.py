"""Emoji scenes: the grammar with stand-in pictures, and the font's own pictures where it is installed."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from studio.core.errors import InvalidRequest, StorageError
from studio.training.config import load
from studio.training.datasets import datasets
from studio.training.datasets.emoji import glyphs, parse, sample_scene, vocabulary
from studio.training.datasets.emoji.draw import box, render_array
from studio.training.datasets.emoji.prompts import held_out_prompts, held_out_renders
from studio.training.datasets.tinyworld.captions import canonical_caption
from studio.training.datasets.tinyworld.scene import split_of
from studio.training.probe import read_config
from studio.training.trainer import Trainer
from tests.training.conftest import AUTOENCODER, TEXT, config

PRESETS = Path(__file__).parents[2] / "presets" / "training"


def stand_in(name: str) -> np.ndarray:
    """A disc of a colour that follows from the name, twice as wide as high."""
    y, x = np.mgrid[-1:1:64j, -1:1:128j]
    inside = (x**2 + y**2 <= 1).astype(np.float32)[..., None]
    red, green, blue, _ = zlib.crc32(name.encode()).to_bytes(4, "big")
    return np.concatenate([inside * np.array([red, green, blue], np.float32) / 255, inside], axis=2)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(glyphs, "source", lambda: stand_in)
    return datasets.get("emoji")


def font_missing() -> str:
    try:
        glyphs.find_font()
    except StorageError as error:
        return str(error)
    return ""


def test_there_are_many_pictures_each_with_a_name_of_its_own():
    assert len(vocabulary.KINDS) == sum(map(len, vocabulary.CHARACTERS.values())) >= 250
    assert {"panda", "slice of pizza", "sun", "octopus"} <= set(vocabulary.KINDS)
    assert all(name.replace(" ", "").isalpha() and name.islower() for name in vocabulary.KINDS)
    shortened = {vocabulary.SHORTER[name] for name in vocabulary.SHORTER}
    assert shortened <= set(vocabulary.KINDS)


def test_a_scene_follows_from_seed_split_and_index_alone(world):
    first, second = world(seed=3)[17], world(seed=3)[17]
    assert first.scene == second.scene
    assert first.caption == second.caption
    assert np.array_equal(first.image, second.image)
    assert first.image.shape == (128, 128, 3)
    assert world(seed=4).scene(17) != first.scene
    assert world(seed=3).captions(17, 1) == [first.caption]


def pairs(scene):
    return {(o.kind, scene.ground.kind, scene.ground.colour) for o in scene.objects}


def test_the_splits_share_no_kind_on_a_ground(world):
    train, held_out = (world(size=32, split=split) for split in ("train", "held_out"))
    seen = {pair for i in range(400) for pair in pairs(train.scene(i))}
    kept = [scene for i in range(200) if len((scene := held_out.scene(i)).objects) == 1]
    assert not seen & {pair for scene in kept for pair in pairs(scene)}
    assert all(split_of(held_out.scene(i)) == "held_out" for i in range(50))


def test_every_caption_says_what_is_drawn(world):
    data = world()
    for index in range(300):
        scene = data.scene(index)
        for caption in (canonical_caption(scene), *data.retellings(index, 2), *data.captions(index, 1)):
            said = parse(caption)
            assert sorted(o.kind for o in said.objects) == sorted(o.kind for o in scene.objects), caption
            assert said.ground.kind in (scene.ground.kind, None), caption
            assert said.ground.colour in (scene.ground.colour, None), caption
    assert parse("a panda on the left and a slice of pizza on the right, snow").objects[1].kind == "slice of pizza"
    with pytest.raises(InvalidRequest, match="names no known object"):
        parse("a zeppelin, snow")


def test_objects_are_drawn_where_and_as_large_as_the_scene_says():
    rng = np.random.default_rng(5)
    for _ in range(100):
        scene = sample_scene(rng)
        picture = render_array(scene, 128, stand_in)
        boxes = [box(obj, (64, 128), 128) for obj in scene.objects]
        for obj, (left, top, width, height) in zip(scene.objects, boxes, strict=True):
            assert min(left, top) >= 0 and max(left + width, top + height) <= 128
            assert width == pytest.approx(obj.extent * 128, abs=1)
            colour = stand_in(obj.kind)[32, 64, :3] * 255
            assert np.abs(picture[top + height // 2, left + width // 2] - colour).max() <= 2
        for number, (left, top, width, height) in enumerate(boxes):
            for x, y, w, h in boxes[:number]:
                assert left >= x + w or x >= left + width or top >= y + h or y >= top + height


def test_held_out_prompts_are_distinct_and_have_their_pictures():
    images, prompts = held_out_renders("two", 8, size=64, glyphs=stand_in)
    assert len(images) == len({p.text for p in prompts}) == 8
    assert prompts == held_out_prompts("two", 8)
    assert all(len(p.expected.objects) == 2 for p in prompts)


def test_a_missing_font_and_bad_options_are_named(monkeypatch):
    monkeypatch.setattr(glyphs, "FOLDERS", ())
    monkeypatch.setattr(glyphs, "FILE", "NoSuchFont.ttf")
    glyphs.find_font.cache_clear()
    with pytest.raises(StorageError, match="install it"):
        glyphs.find_font()
    monkeypatch.setenv(glyphs.VARIABLE, "no/such/file.zip")
    with pytest.raises(StorageError, match="UNNOISE_EMOJI names"):
        glyphs.find_font()
    monkeypatch.setattr(glyphs, "source", lambda: stand_in)
    with pytest.raises(InvalidRequest, match="one drawing style"):
        datasets.get("emoji")(styles=("flat", "pixel"))
    with pytest.raises(InvalidRequest, match="split"):
        datasets.get("emoji")(split="test")


@pytest.mark.sweep
def test_the_trainer_takes_emoji_scenes(world, tmp_path):
    data = {"name": "emoji", "size": 64}
    for name, task in (("ae", {**AUTOENCODER, "latent_channels": 16}), ("text", {**TEXT, "vocabulary": 2000})):
        list(Trainer(config(task, steps=2, data=data), tmp_path / name).run())
        assert (tmp_path / name / "model").is_dir()


def test_the_recipes_fit_together():
    names = ("autoencoder", "text", "mmdit")
    autoencoder, text, mmdit = (load(PRESETS / f"emoji-{name}.yaml") for name in names)
    assert {c.data.name for c in (autoencoder, text, mmdit)} == {"emoji"}
    assert Path(mmdit.task.autoencoder).parent.name == autoencoder.name
    assert Path(mmdit.task.text).parent.name == text.name
    assert autoencoder.task.latent_channels == 16
    assert read_config(PRESETS / "emoji-probe.yaml").data == "emoji"
    assert all(parse(prompt).ground.kind for prompt in mmdit.task.sample_prompts)


@pytest.mark.skipif(bool(font_missing()), reason=font_missing())
def test_the_font_has_every_picture():
    for name in vocabulary.KINDS:
        glyph = glyphs.font_glyph(name)
        assert glyph.dtype == np.float32
        assert max(glyph.shape[:2]) >= 90, name
        assert min(glyph.shape[:2]) >= 24, name
        assert (glyph[..., :3] <= glyph[..., 3:] + 1e-6).all()
