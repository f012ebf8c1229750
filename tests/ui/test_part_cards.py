"""The cards of parts without a browser: what they are drawn from, what they send, and that any kind of part will do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.parts import Cascade
from studio.core.request import parse_request
from studio.ui import part_cards
from studio.ui.weight_strip import queued
from tests.ui.fake_studio import MODELS, STAGES, VAES, FakeStudio
from tests.ui.grain import Grain, GrainyRequest, register
from tests.ui.test_form import after, drawn

PENCIL, CRAYON = MODELS


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path, models=[*MODELS, STAGES, *VAES])
    yield studio
    studio.close()


def group(studio: FakeStudio, model: Any, kind: str) -> dict[str, Any]:
    return next(each for each in part_cards.groups(studio, model) if each["kind"] == kind)


def test_a_new_kind_of_part_is_drawn_filled_and_read_from_its_declaration_alone(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    able = STAGES.capabilities.model_copy(update={"parts": ("cascade", "grain")})
    monkeypatch.setattr(studio, "_models", [STAGES.model_copy(update={"capabilities": able}), *VAES])
    form = drawn(studio)
    fields = {each["field"]: each for each in group(studio, studio.models()[0], "grain")["fields"]}
    assert {name: each["kind"] for name, each in fields.items()} == {
        "model": "file",
        "weight": "number",
        "sample": "picture",
        "mode": "select",
        "colour": "switch",
    }
    assert (fields["weight"]["soft"], fields["weight"]["value"]) == ([0, 1, 0.05], "0.5")
    grains = (Grain(model="vae/sharp", weight=0.25, sample="c" * 64), Grain(model="vae/soft", mode="mix", colour=True))
    request = GrainyRequest(model="other/stages", parts=(*grains, Cascade(steps=3)))
    assert form.read(after(form, request.model_dump())) == request


def test_a_menu_of_files_lists_those_that_fit_the_model(studio: FakeStudio) -> None:
    menu = group(studio, PENCIL, "vae")["fields"][0]
    assert [choice["name"] for choice in menu["choices"]] == ["vae/sharp", "vae/soft"]


def test_where_the_model_takes_no_such_part_another_that_does_is_named(studio: FakeStudio) -> None:
    assert group(studio, CRAYON, "controlnet")["other"] == [STAGES.id, STAGES.title]
    assert group(studio, STAGES, "controlnet")["other"] == []
    studio.offer(CRAYON, STAGES.model_copy(update={"hidden": True}))
    assert group(studio, CRAYON, "controlnet")["other"] == []


def test_a_kind_that_the_model_does_not_take_says_so_and_is_not_sent(studio: FakeStudio) -> None:
    card = {"kind": "vae", "on": True, "model": "vae/sharp"}
    assert group(studio, PENCIL, "vae")["locked"] == ""
    assert group(studio, CRAYON, "vae")["locked"] == "Crayon takes no VAEs."
    assert part_cards.read([card], CRAYON) == []
    assert part_cards.read([card], PENCIL) == [{"kind": "vae", "model": "vae/sharp"}]


def test_a_card_that_is_off_is_kept_and_not_sent(studio: FakeStudio) -> None:
    assert part_cards.read([{"kind": "vae", "on": False, "model": "vae/sharp"}], PENCIL) == []


def test_upper_stages_stand_in_the_form_without_a_card_and_with_nothing_in_them_there_is_no_part(
    studio: FakeStudio,
) -> None:
    drawn = group(studio, STAGES, "cascade")
    assert drawn["inline"] and drawn["locked"] == ""
    assert {each["field"]: each["placeholder"] for each in drawn["fields"]} == {
        "steps": "30",
        "guidance_scale": "4",
        "noise_level": "250",
    }
    empty = {"kind": "cascade", "on": True, "steps": "", "guidance_scale": "", "noise_level": ""}
    assert part_cards.read([empty], STAGES) == []
    assert part_cards.read([empty | {"steps": "7"}], STAGES)[0]["steps"] == 7
    assert part_cards.read([empty | {"steps": "7"}], PENCIL) == []


@pytest.mark.parametrize(
    ("cards", "field"),
    [
        ([{"kind": "vae", "on": True, "model": ""}], "parts.0.model"),
        ([{"kind": "cascade", "steps": "many"}], "parts.0.steps"),
        ([{"kind": "vae", "model": "vae/sharp"}, {"kind": "cascade", "noise_level": "-1"}], "parts.1.noise_level"),
        ([{"kind": "unheard of"}], "parts.0"),
        (["no card"], "parts.0"),
    ],
)
def test_a_bad_card_is_refused_at_its_own_field(cards: list[Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request({"parts": part_cards.read(cards, STAGES)})
    assert refused.value.field == field


INK = ModelInfo(
    id="loras/ink", title="Ink", kind="lora", family="sd1", triggers=("ink style",), trained="Trained on v1-5"
)


def test_a_kind_of_many_files_lists_those_that_fit_with_the_words_to_write(studio: FakeStudio) -> None:
    able = PENCIL.capabilities.model_copy(update={"parts": ("lora", "embedding")})
    model = PENCIL.model_copy(update={"capabilities": able})
    others = [
        INK.model_copy(update={"id": "loras/xl", "family": "sdxl"}),
        INK.model_copy(update={"problem": "Broken."}),
    ]
    studio._models = [model, INK, *others, ModelInfo(id="e/swirl", title="Swirl", kind="embedding", family="sd1")]
    (row,) = group(studio, model, "lora")["files"]
    assert (row["name"], row["words"], row["trained"]) == ("loras/ink", ["ink style"], "Trained on v1-5")
    assert [each["words"] for each in group(studio, model, "embedding")["files"]] == [["swirl"]]
    assert group(studio, model, "vae")["files"] == []


def test_a_part_at_several_weights_is_a_job_for_each_with_one_seed(studio: FakeStudio) -> None:
    able = PENCIL.capabilities.model_copy(update={"parts": ("vae", "lora")})
    studio._models = [PENCIL.model_copy(update={"capabilities": able}), INK, *VAES]
    parts = ({"kind": "vae", "model": "vae/sharp"}, {"kind": "lora", "model": "loras/ink", "text_weight": 0.5})
    request = parse_request({"model": PENCIL.id, "prompt": "a red heart", "count": 3, "parts": parts})
    shown = queued(studio, request, 1, [0, 0.4, 1.2])
    assert [picture["weight"] for picture in shown["pictures"]] == ["0", "0.4", "1.2"]
    made = [studio.job(picture["job"]).request for picture in shown["pictures"]]
    assert [one.parts[1].weight for one in made] == [0, 0.4, 1.2] and {one.parts[1].text_weight for one in made} == {
        0.5
    }
    assert len({one.seed for one in made}) == 1 and {one.count for one in made} == {1}
    with pytest.raises(InvalidRequest):
        queued(studio, request, -1, [0])
    with pytest.raises(InvalidRequest):
        queued(studio, request, 1, [99])
