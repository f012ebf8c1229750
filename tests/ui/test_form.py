"""The form without a browser: what it reads is what it was filled with, and what it must refuse it refuses in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.core.errors import InvalidRequest
from studio.core.fields import specs
from studio.core.request import MAX_SEED, GenerationRequest
from studio.ui.fields import shown
from studio.ui.form import DEFAULT, Form
from tests.ui.fake_studio import BLOBS, CLASSES, MODELS, STAGES, FakeStudio

FIELDS = [name for name, spec in specs(GenerationRequest).items() if spec.kind != "values"]


@pytest.fixture
def form(tmp_path: Path) -> Iterator[Form]:
    studio = FakeStudio(tmp_path, models=[*MODELS, BLOBS, CLASSES, STAGES])
    with gr.Blocks(analytics_enabled=False):
        form = Form(studio)
        form.draw(*FIELDS, "preset", "style")
    yield form
    studio.close()


def typed(form: Form, **values: Any) -> dict[Any, Any]:
    """What the page sends: each control's value, with some of them typed over."""
    start = {component: component.value for component in form.inputs()}
    return start | {form.fields[name]: value for name, value in values.items()}


def after(form: Form, values: dict[str, Any]) -> dict[Any, Any]:
    """What the page sends after `values` were filled in."""
    return typed(form) | {c: update["value"] for c, update in form.fill(values).items() if "value" in update}


def test_every_field_of_a_request_has_a_control_with_its_title(form: Form) -> None:
    for name in FIELDS:
        assert form.fields[name].label == specs(GenerationRequest)[name].title


def test_the_form_as_drawn_is_a_good_request_with_the_models_own_settings(form: Form) -> None:
    request = form.read(typed(form))
    assert (request.model, request.steps, request.guidance_scale) == ("starter/pencil", 12, 4.0)
    assert (request.sampler, request.width, request.seed) == (DEFAULT, None, -1)


def test_reading_is_the_inverse_of_filling(form: Form) -> None:
    wish = GenerationRequest(
        model="starter/crayon",
        prompt="a <b>bold</b> \u202eheart & 50% more",
        negative_prompt="a, b",
        sampler="ddim",
        spacing="trailing",
        steps=33,
        guidance_scale=7.25,
        guidance_rescale=0.7,
        width=128,
        height=256,
        seed=MAX_SEED - 1,
        count=2,
        batch_size=3,
        dtype="fp32",
        previews=False,
    )
    assert form.read(after(form, wish.model_dump())) == wish


def test_filling_some_settings_leaves_the_others_alone(form: Form) -> None:
    updates = form.fill({"steps": 8})
    assert set(updates) == {form.fields["steps"]}


def test_a_model_that_is_not_here_is_not_filled_in(form: Form) -> None:
    updates = form.fill({"model": "v1-5-pruned", "steps": 8})
    assert form.fields["model"] not in updates
    assert form.fields["steps"] in updates


def test_another_model_brings_its_own_menus_and_size(form: Form) -> None:
    updates = form.fill({"model": "starter/crayon"})
    samplers = [choice["name"] for choice in updates[form.fields["sampler"]]["choices"]]
    assert samplers == [DEFAULT, "dpmpp_2m", "euler", "ddim"]
    spacings = updates[form.fields["spacing"]]["choices_by"]
    assert set(spacings) == set(samplers)
    assert all(form.studio.options("starter/crayon").spacings[name] for name in samplers[1:])
    assert updates[form.fields["width"]]["locked"] == "This model makes only this size."


def test_controls_that_a_model_has_no_use_for_are_shut_and_say_why(form: Form) -> None:
    updates = form.fill({"model": "other/blobs"})
    told = {name: updates[form.fields[name]] for name in ("prompt", "negative_prompt", "guidance_scale")}
    assert [told["prompt"]["interactive"], told["negative_prompt"]["interactive"]] == [False, False]
    assert "takes no prompt" in told["prompt"]["info"] and "takes no negative" in told["negative_prompt"]["info"]
    assert told["guidance_scale"]["locked"] == "This model takes no guidance."
    back = form.fill({"model": "starter/pencil"})[form.fields["prompt"]]
    assert back["interactive"] is True and back["info"] == "" and back["placeholder"]


def test_words_that_a_model_has_no_use_for_are_not_asked_of_it(form: Form) -> None:
    words = {"prompt": "a house", "negative_prompt": "rain", "style": "night"}
    request = form.read(typed(form, model="other/blobs", **words))
    assert (request.prompt, request.negative_prompt) == ("", "")


def test_what_a_class_models_prompt_means_stands_at_the_prompt(form: Form) -> None:
    prompt = form.fill({"model": "other/classes"})[form.fields["prompt"]]
    assert prompt["interactive"] is True
    assert prompt["info"] == "One class of this model."


def test_advice_on_few_steps_comes_with_the_model(form: Form) -> None:
    drawn = form.fields["steps"].props["advice"]
    assert drawn["heun"]["beta"]["below"] == 10
    assert "flow_heun" not in form.fill({"model": "starter/crayon"})[form.fields["steps"]]["advice"]


def test_choosing_a_model_replaces_only_steps_that_were_the_last_models_own(form: Form) -> None:
    untouched = form.adopt("starter/crayon", "starter/pencil", typed(form))
    assert untouched[form.fields["steps"]]["value"] == "8"
    chosen = form.adopt("starter/crayon", "starter/pencil", typed(form, steps="31"))
    assert "value" not in chosen[form.fields["steps"]]


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("steps", "1.5", "whole number"),
        ("steps", "0", "from 1"),
        ("steps", "1000000000", "1,000"),
        ("steps", "nan", "number"),
        ("steps", "", "number"),
        ("guidance_scale", "inf", "number"),
        ("guidance_scale", "not a number", "number"),
        ("width", "513", "512 and 520"),
        ("width", "0", "from 8"),
        ("height", "-8", "from 8"),
        ("seed", str(2**70), "18,446,744,073,709,551,615"),
        ("seed", "twelve", "whole number"),
        ("count", "0", "from 1"),
        ("batch_size", "65", "64"),
        ("prompt", "a\x00b", "NUL"),
        ("prompt", "a" * 10_001, "10,000"),
        ("prompt", "\ud83d", "Prompt"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_at_its_field(form: Form, field: str, text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        form.read(typed(form, **{field: text}))
    assert refused.value.field == field
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200


def test_the_largest_seed_is_exact(form: Form) -> None:
    assert form.read(typed(form, seed=str(MAX_SEED))).seed == MAX_SEED


def test_an_empty_seed_is_a_random_one_and_an_empty_size_the_models_own(form: Form) -> None:
    request = form.read(typed(form, seed=" ", width=""))
    assert (request.seed, request.width) == (-1, None)


def test_a_style_wraps_the_prompt_and_joins_the_negative_one(form: Form) -> None:
    request = form.read(typed(form, prompt="a house", negative_prompt="rain", style="night"))
    assert (request.prompt, request.negative_prompt) == ("a house, night", "rain, day")


def test_settings_that_come_back_take_the_style_off(form: Form) -> None:
    sent = after(form, {"prompt": "a house, night"}) | {form.fields["preset"]: "none"}
    assert form.read(sent).prompt == "a house, night"


@pytest.mark.parametrize(("value", "text"), [(5.0, "5"), (7.5, "7.5"), (None, ""), (MAX_SEED, "18446744073709551615")])
def test_numbers_stand_in_their_boxes_as_people_write_them(value: Any, text: str) -> None:
    assert shown(value) == text


def test_guidance_rescale_is_locked_with_its_reason_where_the_pipeline_takes_none(tmp_path: Path) -> None:
    plain = MODELS[1].model_copy(
        update={"id": "other/plain", "capabilities": MODELS[1].capabilities.model_copy(update={"rescale": False})}
    )
    studio = FakeStudio(tmp_path, models=[*MODELS, plain, BLOBS])
    with gr.Blocks(analytics_enabled=False):
        form = Form(studio)
        form.draw(*FIELDS)
    field = form.fields["guidance_rescale"]
    told = {name: form.fill({"model": name})[field]["locked"] for name in ("starter/crayon", "other/plain", BLOBS.id)}
    assert told == {
        "starter/crayon": "",
        "other/plain": "This model takes no guidance rescale.",
        BLOBS.id: "This model takes no guidance.",
    }
    given = typed(form, guidance_rescale="0.7")  # what stood there before another model was chosen
    assert form.read(given).guidance_rescale == 0.7
    assert form.read(given | {form.fields["model"]: "other/plain"}).guidance_rescale == 0.0
    studio.close()
