"""The form without a browser: what it reads is what it was filled with, and what it must refuse it refuses in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from studio.core.errors import InvalidRequest
from studio.core.fields import FieldSpec, specs
from studio.core.intents import settings_of
from studio.core.models import Capabilities
from studio.core.parts import PARTS
from studio.core.request import MAX_SEED, GenerationRequest
from studio.core.tasks import TASKS
from studio.ui.core_controls import CORE
from studio.ui.fields import shown, standing
from studio.ui.form import DEFAULT, Form
from studio.ui.task_controls import settings_set, steps_sentence
from tests.ui.fake_studio import BLOBS, CLASSES, MODELS, STAGES, VAES, FakeStudio

OFFERED = [kind for kind, task in TASKS.items() if task.offered]
ABLE = MODELS[0].model_copy(
    update={
        "id": "other/able",
        "shipped": False,
        "capabilities": Capabilities(tasks=tuple(OFFERED), parts=tuple(PARTS)),
    }
)
PICTURE, MASK = "a" * 64, "b" * 64


@pytest.fixture(scope="module")  # reading and filling leave it as it was drawn
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    studio = FakeStudio(tmp_path_factory.mktemp("studio"), models=[*MODELS, BLOBS, CLASSES, STAGES, ABLE, *VAES])
    yield drawn(studio)
    studio.close()


def drawn(studio: FakeStudio) -> Form:
    with gr.Blocks(analytics_enabled=False):
        form = Form(studio)
        form.draw("preset", "style")
        form.draw_tasks()
        form.draw_rest()
        form.draw_parts()
    return form


def typed(form: Form, **values: Any) -> dict[Any, Any]:
    """What the page sends: each control's value, with some of them typed over; "strength" is a task's."""
    start = {component: component.value for component in form.inputs()}
    controls = {name: each for task in form.tasks.values() for name, each in task.items()} | form.fields
    return start | {controls[name]: value for name, value in values.items()}


def after(form: Form, values: dict[str, Any]) -> dict[Any, Any]:
    """What the page sends after `values` were filled in."""
    return typed(form) | {c: update["value"] for c, update in form.fill(values).items() if "value" in update}


def test_every_field_of_the_core_and_of_every_task_has_a_control_with_its_title(form: Form) -> None:
    assert CORE
    for name, spec in CORE.items():
        assert form.fields[name].label == spec.title
    for kind in OFFERED:
        assert {name: each.label for name, each in form.tasks[kind].items()} == {
            name: spec.title for name, spec in specs(TASKS[kind]).items()
        }


def test_tasks_share_the_controls_of_fields_that_they_declare_alike(form: Form) -> None:
    first, second = form.tasks["image_to_image"], form.tasks["inpaint"]
    assert first["resize"] is second["resize"] and "mask" not in first
    assert first["strength"] is not second["strength"]  # which an intent sets


def test_the_form_as_drawn_is_a_good_request_with_the_models_own_settings(form: Form) -> None:
    request = form.read(typed(form))
    assert (request.model, request.steps, request.guidance_scale) == ("starter/pencil", 12, 4.0)
    assert (request.sampler, request.width, request.seed) == (DEFAULT, None, -1)


def values_of(spec: FieldSpec) -> st.SearchStrategy[Any]:
    """Good values of a field, as its declaration says."""
    if spec.choices:
        good: st.SearchStrategy[Any] = st.sampled_from([value for value, _ in spec.choices])
    elif spec.name == "box":
        good = st.sampled_from(["", "1,-2,30,40"])
    elif spec.kind == "integer":
        good = st.integers(int(spec.least or 0), int(spec.most or 100))
    elif spec.kind == "number":
        good = st.floats(float(spec.least or 0.01), float(spec.most or 10.0), exclude_min=spec.least is None)
    elif spec.kind == "image":
        good = st.sampled_from([PICTURE, MASK])
    elif spec.kind == "model":
        good = st.sampled_from([each.id for each in VAES])
    else:
        good = {"boolean": st.booleans(), "text": st.text(max_size=20)}[spec.kind]
    return st.none() | good if spec.optional else good


def fields_of(kind: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: values_of(spec) for name, spec in specs(kind).items()})


def goes_together(task: dict[str, Any]) -> bool:
    """Whether each field of a task has what another one makes it need, such as a box where that is the context."""
    try:
        return bool(TASKS[task["kind"]](**task))
    except ValidationError:
        return False


tasks = (
    st.sampled_from(OFFERED)
    .flatmap(lambda kind: fields_of(TASKS[kind]).map(lambda values: {"kind": kind} | values))
    .filter(goes_together)
)
parts = st.lists(st.sampled_from([kind for kind, part in PARTS.items() if part.offered]), unique=True).flatmap(
    lambda kinds: st.tuples(*(fields_of(PARTS[k]).map(lambda values, k=k: {"kind": k} | values) for k in kinds))
)


@settings(max_examples=10)
@given(task=tasks, parts=parts)
def test_reading_is_the_inverse_of_filling_for_every_task_and_part(
    form: Form, task: dict[str, Any], parts: tuple[dict[str, Any], ...]
) -> None:
    said = tuple(part for part in parts if any(value is not None for name, value in part.items() if name != "kind"))
    request = GenerationRequest(model=ABLE.id, task=task, parts=said)
    assert form.read(after(form, request.model_dump()), task["kind"]) == request
    assert form.read(after(form, request.model_dump(mode="json")), task["kind"]) == request


def test_reading_is_the_inverse_of_filling(form: Form) -> None:
    request = GenerationRequest(
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
    assert form.read(after(form, request.model_dump())) == request


def test_a_task_without_its_picture_leaves_the_picture_alone(form: Form) -> None:
    """As settings from other programs' pictures have it: the picture that they began from is in no file."""
    updates = form.fill({"task": {"kind": "image_to_image", "strength": 0.45}, "parts": []})
    controls = form.tasks["image_to_image"]
    assert updates[controls["strength"]]["value"] == "0.45" and controls["image"] not in updates


def test_settings_of_an_earlier_version_are_filled_in(form: Form) -> None:
    request = form.read(after(form, {"model": "other/stages", "upper_steps": 7}))
    assert [part.model_dump() for part in request.parts] == [
        {"kind": "cascade", "steps": 7, "guidance_scale": None, "noise_level": None}
    ]


def test_what_is_filled_in_without_parts_takes_them_away_and_what_does_not_name_them_leaves_them(form: Form) -> None:
    with_vae = after(form, {"model": "starter/pencil", "parts": [{"kind": "vae", "model": "vae/sharp"}]})
    assert [part.kind for part in form.read(with_vae).parts] == ["vae"]
    assert form.fill({"steps": 8}).keys() == {form.fields["steps"]}
    assert form.fill({"parts": ()})[form.fields["parts"]]["value"] == []


def test_a_picture_that_was_not_chosen_is_missing_at_its_control(form: Form) -> None:
    with pytest.raises(InvalidRequest, match=r"^Picture is missing\.$") as refused:
        form.read(typed(form), "image_to_image")
    assert refused.value.field == "task.image"
    with pytest.raises(InvalidRequest, match=r"^Mask is missing\.$"):
        form.read(typed(form, image=PICTURE), "inpaint")
    assert not form.read(typed(form), "text_to_image").images()


@pytest.mark.parametrize(
    ("steps", "strength", "rounding", "said"),
    [
        ("20", "0.6", "floor", "12 of 20 steps will run."),
        ("25", "0.33", "floor", "8 of 25 steps will run."),
        ("25", "0.33", "ceil", "9 of 25 steps will run."),
        ("3", "0.2", "floor", "No step would run: raise the strength or the steps."),
        ("20", "", "floor", ""),
        ("20", "1.5", "floor", ""),
        ("many", "0.5", "floor", ""),
    ],
)
def test_the_steps_that_will_run_are_said_beforehand(
    tmp_path: Path, steps: str, strength: str, rounding: str, said: str
) -> None:
    able = MODELS[0].capabilities.model_copy(update={"partial_steps": rounding})
    studio = FakeStudio(tmp_path, models=[MODELS[0].model_copy(update={"capabilities": able})])
    given = {"model": "starter/pencil", "steps": steps, "field": "task.strength", "value": strength}
    assert steps_sentence(studio, {"change": "image_to_image"}, given | {"mode": "change"}) == said
    assert steps_sentence(studio, {"change": "text_to_image"}, given | {"mode": "change"}) == ""
    studio.close()


def test_an_intent_says_what_it_sets_for_the_model_and_the_form_begins_with_the_first(form: Form) -> None:
    model, fields = MODELS[0], specs(TASKS["inpaint"])
    expected = settings_of("remove", model)
    keys = {spec: f"task.{name}" for name, spec in fields.items()}
    asked = {"mode": "inpaint", "model": model.id, "field": "task.intent", "value": "remove"}
    said = settings_set(form.studio, {"inpaint": "inpaint"}, keys, asked)
    assert said["help"] == expected.prompt_help
    assert {each["key"]: each["value"] for each in said["settings"]} == {
        f"task.{name}": standing(fields[name], value) for name, value in expected.values().items()
    }
    assert settings_set(form.studio, {"inpaint": "inpaint"}, keys, asked | {"value": "other"})["settings"] == []
    controls, first = form.tasks["inpaint"], settings_of("fill", model)
    assert (controls["context"].value, controls["padding"].value) == (first.context, str(first.padding))


def test_a_model_is_offered_in_the_modes_whose_task_it_can_do(form: Form) -> None:
    modes = {choice["name"]: choice["modes"] for choice in form.fields["model"].props["choices"]}
    assert modes["starter/pencil"] == ["text_to_image", "image_to_image", "inpaint"]
    assert modes["starter/crayon"] == ["text_to_image"]


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
    assert drawn["dpmpp_3m_sde"]["karras"]["below"] == 10
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


def test_a_model_that_works_in_stages_says_what_its_sizes_mean(form: Form) -> None:
    width = form.fill({"model": "other/stages"})[form.fields["width"]]
    assert width["note"] == "32 × 32: Sketch alone\n128 × 128: then Ink"
    assert form.fill({"model": "starter/pencil"})[form.fields["width"]]["note"] == ""


def test_guidance_rescale_is_locked_with_its_reason_where_the_pipeline_takes_none(tmp_path: Path) -> None:
    plain = MODELS[1].model_copy(
        update={"id": "other/plain", "capabilities": MODELS[1].capabilities.model_copy(update={"rescale": False})}
    )
    studio = FakeStudio(tmp_path, models=[*MODELS, plain, BLOBS])
    form = drawn(studio)
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
