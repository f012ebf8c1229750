"""Tiny World draws the same scene for an index for ever, keeps its splits apart, and can be seen."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.errors import InvalidRequest, UnknownName
from studio.training.datasets import datasets
from studio.training.datasets.tinyworld import (
    Scene,
    TinyWorld,
    canonical_caption,
    held_out_prompts,
    is_held_out,
    render,
    render_array,
    sample_scene,
    split_of,
    vocabulary,
)
from studio.training.datasets.tinyworld.glyphs import glyph, half_extent
from studio.training.datasets.tinyworld.vocabulary import CONTRAST, distance, ground_tones, main_rgb

indices = st.integers(0, 10**9)
ALL_STYLES = vocabulary.STYLES


def test_is_registered_by_name():
    assert datasets.get("tinyworld") is TinyWorld


@settings(max_examples=25, deadline=None)
@given(index=indices, seed=st.integers(0, 5), split=st.sampled_from(["train", "held_out"]))
def test_an_index_always_gives_the_same_example(index, seed, split):
    first = TinyWorld(64, split, seed, ALL_STYLES)[index]
    second = TinyWorld(64, split, seed, ALL_STYLES)[index]
    assert first.scene == second.scene
    assert first.caption == second.caption
    assert np.array_equal(first.image, second.image)


def test_captions_and_scenes_need_no_drawing_and_agree_with_the_examples():
    world = TinyWorld(32, seed=4)
    examples = [world[i] for i in range(20)]
    assert world.captions(0, 20) == [e.caption for e in examples]
    assert [world.scene(i) for i in range(20)] == [e.scene for e in examples]


def test_seeds_and_splits_are_different_worlds():
    captions = {tuple(TinyWorld(32, split, seed).captions(0, 30)) for split in ("train", "held_out") for seed in (0, 1)}
    assert len(captions) == 4


@settings(max_examples=200, deadline=None)
@given(index=indices)
def test_training_never_shows_a_held_out_object_and_held_out_always_does(index):
    train = TinyWorld(32).scene(index)
    assert not any(is_held_out(obj, train.ground) for obj in train.objects)
    held_out = TinyWorld(32, "held_out").scene(index)
    assert any(is_held_out(obj, held_out.ground) for obj in held_out.objects)
    assert (split_of(train), split_of(held_out)) == ("train", "held_out")


def test_about_eight_percent_of_the_combinations_are_held_out():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, objects=(1.0,), counts=(1,)) for _ in range(4000)]
    share = np.mean([split_of(scene) == "held_out" for scene in scenes])
    assert 0.05 < share < 0.11


@settings(max_examples=200, deadline=None)
@given(index=indices)
def test_every_object_stands_out_inside_the_picture_and_apart_from_the_others(index):
    scene = TinyWorld(32, styles=ALL_STYLES).scene(index)
    for obj in scene.objects:
        tones = ground_tones(scene.ground.kind, scene.ground.colour)
        assert min(distance(main_rgb(obj.kind, obj.colour), tone) for tone in tones) >= CONTRAST
        assert obj.colour is None or obj.colour != scene.ground.colour
        assert obj.colour is not None or obj.kind in vocabulary.THINGS
        half_x, half_y = (h * obj.extent / 2 for h in half_extent(obj.kind))
        assert half_x <= obj.x <= 1 - half_x
        assert half_y <= obj.y <= 1 - half_y
    for i, a in enumerate(scene.objects):
        for b in scene.objects[:i]:
            assert math.hypot(a.x - b.x, a.y - b.y) > 0.5 * (a.extent + b.extent) * 0.8


def test_nothing_white_stands_on_snow_nor_black_in_the_night():
    grounds = {(o.colour, s.ground.kind) for s in map(TinyWorld(32).scene, range(3000)) for o in s.objects}
    assert ("white", "snow") not in grounds
    assert ("black", "night") not in grounds
    assert ("yellow", "night") in grounds


def test_the_vocabulary_is_all_used():
    scenes = [TinyWorld(32, styles=ALL_STYLES).scene(i) for i in range(4000)]
    assert {o.kind for s in scenes for o in s.objects} == set(vocabulary.KINDS)
    assert {o.colour for s in scenes for o in s.objects} == {*vocabulary.COLOURS, None}
    assert {s.ground.kind for s in scenes} == {*vocabulary.PATTERNS, *vocabulary.SCENES}
    assert {s.style for s in scenes} == set(ALL_STYLES)
    assert {len(s.objects) for s in scenes} == {1, 2, 3}


@settings(max_examples=50, deadline=None)
@given(index=indices)
def test_a_scene_survives_json(index):
    scene = TinyWorld(32, styles=ALL_STYLES).scene(index)
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


@pytest.mark.parametrize("kind", vocabulary.KINDS)
def test_every_glyph_fills_its_unit_box(kind):
    assert max(half_extent(kind)) == pytest.approx(1.0)
    assert all(len(contour) >= 3 for part in glyph(kind) for contour in part.contours)
    assert any(part.tone == "main" for part in glyph(kind))


@pytest.mark.parametrize("style", ALL_STYLES)
@pytest.mark.parametrize("size", [64, 128, 256])
def test_pictures_have_the_asked_size_and_show_their_object_in_every_style(style, size):
    scene = next(s for s in map(TinyWorld(32, styles=(style,)).scene, range(500)) if s.objects[0].kind == "square")
    image = render(scene, size)
    assert image.size == (size, size)
    obj = scene.objects[0]
    seen = np.asarray(image)[int(obj.y * size), int(obj.x * size)].tolist()
    assert distance(tuple(seen), main_rgb(obj.kind, obj.colour)) < 110


def test_a_larger_picture_is_the_same_picture():
    scene = TinyWorld(32).scene(3)
    small = render_array(scene, 64).astype(int)
    large = render_array(scene, 256).reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(small - large).mean() < 3


def test_small_objects_can_be_read_and_large_ones_are_larger():
    extents: dict[tuple[int, str], list[float]] = {}
    for scene in map(TinyWorld(32).scene, range(3000)):
        for obj in scene.objects:
            extents.setdefault((len(scene.objects), obj.size), []).append(obj.extent * 128)
    assert min(map(min, extents.values())) >= 32
    for count in (1, 2):
        small, medium, large = (extents[count, size] for size in ("small", "medium", "large"))
        assert max(small) < min(medium) <= max(medium) < min(large)


def test_held_out_prompts_are_different_and_never_in_training():
    prompts = held_out_prompts("two", 100)
    assert len({p.text for p in prompts}) == 100
    seen = {canonical_caption(TinyWorld(32).scene(i)) for i in range(3000)}
    assert not seen & {p.text for p in prompts}
    assert [p.text for p in prompts] == [p.text for p in held_out_prompts("two", 100)]


def test_unknown_words_are_refused_by_name():
    with pytest.raises(UnknownName, match="train, held_out"):
        TinyWorld(split="test")
    with pytest.raises(UnknownName, match="outline"):
        TinyWorld(styles=("cubist",))
    with pytest.raises(InvalidRequest, match="at least one"):
        TinyWorld(styles=())
    with pytest.raises(UnknownName, match="one, two, three"):
        held_out_prompts("four")
