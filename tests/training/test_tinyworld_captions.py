"""Whatever is said of a scene is true of it, and can be read back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.core.errors import InvalidRequest
from studio.evaluation.expected import ExpectedGround, ExpectedObject, ExpectedRelation
from studio.training.datasets.tinyworld import (
    TinyWorld,
    canonical_caption,
    caption,
    parse,
    placeless_caption,
    vocabulary,
)

indices = st.integers(0, 10**9)


def scene_of(index, styles=vocabulary.STYLES):
    return TinyWorld(32, styles=styles, objects=(0.4, 0.3, 0.3)).scene(index)


def agrees(want: ExpectedObject, obj) -> bool:
    """Whether what is asked is true of a drawn object."""
    return (
        want.kind == obj.kind
        and want.colour == obj.colour
        and want.size in (None, obj.size)
        and want.place in (None, obj.place)
    )


@settings(max_examples=400, deadline=None)
@given(index=indices, voice=st.integers(0, 2**32))
def test_every_caption_is_true_of_its_scene(index, voice):
    scene = scene_of(index)
    text = caption(scene, np.random.default_rng(voice))
    expected = parse(text)
    assert text.isascii()
    assert text == text.lower()
    assert len(expected.objects) == len(scene.objects)
    # A sentence may begin with either object; the pairing is by what is said.
    drawn = [next(o for o in scene.objects if agrees(want, o)) for want in expected.objects]
    assert len({id(o) for o in drawn}) == len(scene.objects)
    for relation in expected.relations:
        first, second = drawn[relation.first], drawn[relation.second]
        if relation.name == "left of":
            assert first.x < second.x
        elif relation.name == "above":
            assert first.y < second.y
        else:
            assert abs(first.x - second.x) > abs(first.y - second.y)
    assert expected.ground.kind in (None, scene.ground.kind)
    assert expected.ground.colour in (None, scene.ground.colour)
    assert (expected.style or "flat") == scene.style


@settings(max_examples=200, deadline=None)
@given(index=indices)
def test_the_canonical_caption_names_everything(index):
    scene = scene_of(index, styles=("flat",))
    expected = parse(canonical_caption(scene))
    for want, obj in zip(expected.objects, scene.objects, strict=True):
        assert (want.kind, want.colour) == (obj.kind, obj.colour)
        assert want.size == (None if obj.size == "medium" else obj.size)
        assert want.place == (None if scene.layout == "column" else obj.place)
    assert expected.ground == ExpectedGround(scene.ground.kind, scene.ground.colour)


def test_the_canonical_form_is_the_most_frequent_and_grounds_are_sometimes_left_out():
    world = TinyWorld(32, seed=9)
    pairs = [(world.captions(i, 1)[0], world.scene(i)) for i in range(3000)]
    assert 0.56 < np.mean([text == canonical_caption(scene) for text, scene in pairs]) < 0.68
    groundless = [parse(text).ground == ExpectedGround() for text, _ in pairs]
    assert 0.07 < np.mean(groundless) < 0.13


def test_the_sentences_of_the_examples_are_read_as_a_person_would():
    heart = parse("a large red heart, plain white background")
    assert heart.objects == (ExpectedObject("heart", "red", "large"),)
    assert heart.ground == ExpectedGround("plain", "white")
    pair = parse("a yellow star on the left and a blue ring on the right, striped green background")
    assert [(o.kind, o.place) for o in pair.objects] == [("star", "left"), ("ring", "right")]
    house = parse("a small house under the moon, snow")
    assert house.relations == (ExpectedRelation(1, "above", 0),)
    assert house.ground == ExpectedGround("snow")
    assert parse("a boat, sea").objects == (ExpectedObject("boat"),)
    assert parse("a GREY  cup in the center on a red background").objects[0].colour == "gray"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "settings",
        "a red dragon, sea",
        "a red heart with wings",
        "a red heart above, sea",
        "two stars",
        "a heart, mars",
    ],
)
def test_what_is_no_sentence_of_the_world_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse(text)


def test_articles_are_english():
    texts = " ".join(TinyWorld(32).captions(0, 2000))
    assert not any(f" a {vowel}" in texts for vowel in "aeio")
    assert " an orange " in texts
    assert " an apple" in texts


def test_a_placeless_caption_names_all_things_and_the_ground_but_no_place_and_no_size():
    for index in range(200):
        scene = scene_of(index)
        expected = parse(placeless_caption(scene, np.random.default_rng(index)))
        looks = sorted((o.kind, o.colour or "") for o in scene.objects)
        assert sorted((o.kind, o.colour or "") for o in expected.objects) == looks
        assert not expected.relations and all(o.place is None and o.size is None for o in expected.objects)
        assert expected.ground.kind == scene.ground.kind
