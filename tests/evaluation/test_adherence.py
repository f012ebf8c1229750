"""The judge calls right what is right, names what is wrong, and is fair about pairings, places and sizes."""

import pytest
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.evaluation.adherence import Adherence, evaluate, judge, score
from studio.evaluation.expected import Prompt
from studio.evaluation.probe import Detected, Findings
from studio.evaluation.sheet import contact_sheet
from studio.training.datasets.tinyworld import parse


def seen(kind, colour, x=0.5, y=0.5, extent=0.45):
    return Detected(kind, colour, x, y, extent, 0.9, {kind: 0.95, "cup": 0.05}, {colour: 0.95, "gray": 0.05})


def verdict(text, objects, ground=("plain", "white")):
    return judge(Findings(tuple(objects), *ground), Prompt(text, parse(text)))


def test_a_true_picture_is_right():
    one = verdict("a large red heart, plain white background", [seen("heart", "red", extent=0.65)])
    assert one.right
    assert not one.failures
    two = verdict(
        "a yellow star on the left and a blue ring on the right, striped green background",
        [seen("ring", "blue", 0.74), seen("star", "yellow", 0.27)],
        ("striped", "green"),
    )
    assert two.right


@pytest.mark.parametrize(
    ("objects", "ground", "aspect", "words"),
    [
        ([seen("star", "red")], ("plain", "white"), "objects", "no heart but a star"),
        ([], ("plain", "white"), "objects", "no heart"),
        ([seen("heart", "pink")], ("plain", "white"), "colours", "heart pink, not red"),
        ([seen("heart", "red", 0.7)], ("plain", "white"), "places", "heart not left"),
        ([seen("heart", "red", 0.25)], ("dotted", "white"), "ground", "ground dotted, not plain"),
        ([seen("heart", "red", 0.25)], ("plain", "gray"), "ground", "ground gray, not white"),
    ],
)
def test_each_kind_of_failure_is_found_and_named(objects, ground, aspect, words):
    found = verdict("a red heart on the left, plain white background", objects, ground)
    assert not found.right
    assert not getattr(found, aspect)
    assert words in found.failures


def test_swapped_colours_and_swapped_places_are_wrong():
    text = "a red star on the left and a blue star on the right, plain white background"
    assert verdict(text, [seen("star", "red", 0.27), seen("star", "blue", 0.73)]).right
    swapped = verdict(text, [seen("star", "blue", 0.27), seen("star", "red", 0.73)])
    assert not swapped.right
    pair = verdict(
        "a red star on the left and a blue cross on the right, plain white background",
        [seen("star", "blue", 0.27), seen("cross", "red", 0.73)],
    )
    assert pair.objects
    assert not pair.colours


@pytest.mark.parametrize(("first_y", "right"), [(0.27, True), (0.73, False), (0.5, False)])
def test_above_and_under_are_read_from_the_centres(first_y, right):
    objects = [seen("moon", "yellow", y=first_y), seen("house", "brown", y=1 - first_y)]
    assert verdict("a house under the moon, snow", objects, ("snow", "white")).right is right


def test_the_colour_of_a_landscape_is_not_asked_for():
    assert verdict("a boat, sea", [seen("boat", "brown")], ("sea", "orange")).right


def test_only_gross_mistakes_of_size_count():
    text = "a small red heart, plain white background"
    assert verdict(text, [seen("heart", "red", extent=0.38)]).right
    assert not verdict(text, [seen("heart", "red", extent=0.66)]).right
    assert not verdict("a large red heart, plain white background", [seen("heart", "red", extent=0.3)]).right


def test_objects_nobody_asked_for_are_counted():
    found = verdict("a red heart, plain white background", [seen("heart", "red"), seen("heart", "red", 0.2, 0.2)])
    assert found.right
    assert found.extra == 1


class Witness:
    """Stands for a probe: says of each picture what its first pixel promises."""

    class spec:
        accuracy = {"all_right": 1.0}

    def look(self, pictures):
        kinds = ["heart" if picture.getpixel((0, 0)) == (255, 0, 0) else "star" for picture in pictures]
        return [Findings((seen(kind, "red"),), "plain", "white") for kind in kinds]


def test_evaluate_makes_each_picture_from_its_prompt_and_seed_and_reports_the_judge_beside_the_score():
    prompts = [
        Prompt(t, parse(t)) for t in ("a red heart, plain white background", "a red star, plain white background")
    ]
    asked = []

    def generate(texts, seeds):
        asked.extend(zip(texts, seeds, strict=True))
        return [Image.new("RGB", (8, 8), "red") for _ in texts]

    adherence, images, report = evaluate(generate, prompts, Witness(), seed=7)
    assert asked == [(prompts[0].text, 7), (prompts[1].text, 8)]
    assert [v.right for v in adherence.verdicts] == [True, False]
    assert report["right"] == 1
    assert report["rates"]["all_right"] == 0.5
    assert report["probe"] == {"all_right": 1.0}
    assert [f["prompt"] for f in report["failures"]] == [prompts[1].text]
    sheet = contact_sheet(images, adherence.verdicts, title="two", columns=2, side=64)
    colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert (205, 42, 48) in colours  # the wrong one is outlined
    assert sheet.width == 2 * 78 + 14


def test_a_set_without_pictures_is_refused():
    with pytest.raises(InvalidRequest, match="0 pictures for 0 prompts"):
        score([], [], Witness())
    with pytest.raises(InvalidRequest, match="one for each"):
        score([Image.new("RGB", (8, 8))], [], Witness())


def test_rates_are_shares_of_the_pictures():
    right = verdict("a red heart, plain white background", [seen("heart", "red")])
    wrong = verdict("a red heart, plain white background", [seen("heart", "blue")])
    rates = Adherence((right, right, right, wrong)).rates()
    assert rates["all_right"] == 0.75
    assert rates["colours"] == 0.75
    assert rates["objects"] == 1.0
