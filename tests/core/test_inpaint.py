"""Inpainting's settings without a model: what is refused at which field, what an intent sets, and what the model sees."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.intents import INTENTS, settings_of
from studio.core.models import Capabilities, ModelInfo
from studio.core.options import resolve
from studio.core.recipe import from_text, to_text
from studio.core.regions import Box, Sides, narrowed, widened
from studio.core.request import parse_request, request_of
from studio.core.tasks import Inpaint

PICTURE, MASK = "a" * 64, "b" * 64
MODEL = ModelInfo(id="m", title="M", kind="diffusers", family="sd1", capabilities=Capabilities(tasks=("inpaint",)))
NINE = MODEL.model_copy(update={"variant": "inpaint"})


@pytest.mark.parametrize(
    ("task", "field", "sentence"),
    [
        ({}, "task.mask", "Mask is missing"),
        ({"intent": "extend", "mask": MASK}, "task.extend_left", "another side must say by how many pixels"),
        ({"mask": MASK, "context": "box"}, "task.box", "Box is missing: draw it"),
        ({"mask": MASK, "box": "1,2,3"}, "task.box", "left,top,width,height"),
        ({"mask": MASK, "box": "1,2,0,3"}, "task.box", "at least 1 pixel"),
        ({"mask": MASK, "mask_grow": -1}, "task.mask_grow", "Grow must be a whole number from 0"),
        ({"mask": MASK, "extend_top": 4096}, "task.extend_top", "Extend top must be"),
        ({"mask": MASK, "content": "void"}, "task.content", "original, fill, noise, neutral"),
    ],
)
def test_bad_settings_are_refused_at_their_field(task: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        parse_request({"task": {"kind": "inpaint", "image": PICTURE} | task})
    assert refused.value.field == field


@pytest.mark.parametrize("intent", list(INTENTS))
def test_an_intent_sets_what_was_not_given_and_nothing_else(intent: str) -> None:
    given = {
        "kind": "inpaint",
        "image": PICTURE,
        "mask": MASK,
        "intent": intent,
        "extend_left": 8,
        "content": "neutral",
    }
    task = resolve(parse_request({"task": given, "steps": 20}), MODEL).task
    assert isinstance(task, Inpaint)
    settings = settings_of(intent, MODEL)
    assert (task.content, task.context, task.padding) == ("neutral", settings.context, settings.padding)
    assert task.strength == settings.strength and settings.prompt_help
    again = resolve(parse_request({"task": task.model_dump(mode="json")}), NINE).task
    assert again == task  # what was resolved once stays, whatever the model


def test_a_model_that_sees_the_mask_starts_from_noise() -> None:
    assert settings_of("remove", NINE).strength == 1.0 > settings_of("remove", MODEL).strength


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "1"])
def test_an_all_black_mask_is_refused_before_any_work(mode: str) -> None:
    stored = {PICTURE: Image.new("RGB", (8, 8)), MASK: Image.new(mode, (8, 8))}
    with pytest.raises(InvalidRequest, match="all black") as refused:
        Inpaint(image=PICTURE, mask=MASK).check(stored.__getitem__)
    assert refused.value.field == "mask"


def test_a_mask_painted_on_nothing_is_white_only_where_it_is_painted() -> None:
    painted = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    painted.paste((255, 255, 255, 255), (0, 0, 2, 2))
    Inpaint(image=PICTURE, mask=MASK).check({PICTURE: painted, MASK: painted}.__getitem__)
    with pytest.raises(InvalidRequest, match="all black"):
        empty = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
        Inpaint(image=PICTURE, mask=MASK).check({PICTURE: painted, MASK: empty}.__getitem__)


def test_a_canvas_beyond_all_bounds_is_refused() -> None:
    task = Inpaint(image=PICTURE, extend_left=2048, extend_right=2048)
    with pytest.raises(InvalidRequest, match="more than 32 million pixels"):
        task.check({PICTURE: Image.new("1", (4000, 4096))}.__getitem__)


boxes = st.builds(Box, st.integers(0, 300), st.integers(0, 300), st.integers(1, 90), st.integers(1, 90))
sizes = st.tuples(st.integers(400, 900), st.integers(400, 900))
shapes = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda n: (n[0] * 64, n[1] * 64))


@given(boxes, shapes, sizes)
def test_a_widened_box_holds_the_first_and_stays_in_the_picture_where_it_fits(
    box: Box, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    wide = widened(box, shape, size)
    assert wide.contains(box)
    assert abs(wide.width * shape[1] - wide.height * shape[0]) < max(shape)
    if wide.width <= size[0] and wide.height <= size[1]:
        assert Box.whole(size).contains(wide)


@given(boxes, shapes, sizes)
def test_a_narrowed_box_has_the_shape_and_holds_what_it_must(
    box: Box, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    narrow = narrowed(Box.whole(size), shape, box)
    if narrow is not None:
        assert Box.whole(size).contains(narrow) and narrow.contains(box)


def test_geometry_of_sides_and_boxes() -> None:
    assert Sides(left=8, bottom=4).around((10, 10)) == (18, 14)
    assert Box(-4, 6, 10, 10).within((8, 8)) == Box(0, 6, 6, 2)
    assert Box(20, 20, 5, 5).within((8, 8)) is None


def test_settings_by_name_choose_the_task_and_keep_its_pictures() -> None:
    given = {"prompt": "a hat", "steps": 9, "image": "photo.png", "mask": "mask.png", "intent": "add"}
    request = request_of(given, {"photo.png": PICTURE, "mask.png": MASK}.__getitem__)
    assert request.task == Inpaint(image=PICTURE, mask=MASK, intent="add") and request.steps == 9
    assert request_of({"image": "photo.png"}, {"photo.png": PICTURE}.__getitem__).task.kind == "image_to_image"
    with pytest.raises(InvalidRequest, match="No task takes all of image, hat"):
        request_of({"image": "photo.png", "hat": 1}, str)


def test_a_recipe_of_an_earlier_version_is_made_again_as_it_was_made() -> None:
    task = {"kind": "inpaint", "image": PICTURE, "mask": MASK, "strength": 0.6, "resize": "crop"}
    old = {
        "version": 2,
        "request": {"task": task},
        "index": 0,
        "seed": 1,
        "model": "m",
        "model_title": "M",
        "family": "f",
    }
    run = {"pipeline": "P", "scheduler": "S", "weights": {}, "dtype": "fp32", "device": "cpu", "libraries": {}}
    recipe = from_text(json.dumps(old | run))
    assert recipe.parent == PICTURE
    assert recipe.request.task == Inpaint(**task, mask_grow=0, blend=False)
    assert from_text(to_text(recipe)) == recipe
