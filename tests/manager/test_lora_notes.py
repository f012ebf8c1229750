"""What a LoRA's file, and the notes beside it, say of its training; and how the command line names one."""

import json

import pytest

from studio.core.errors import InvalidRequest, UnknownName
from studio.core.parts import LoRA
from studio.manager.disk.notes import MOST_TAGS, training_of, triggers_of

TAGS = json.dumps({"10_ink": {"ink style": 10, "cat": 3, " tree": 9}, "2_more": {"ink style": 2, "tree": 1}})


@pytest.mark.parametrize(
    ("metadata", "noted", "triggers"),
    [
        ({"ss_tag_frequency": TAGS}, "", ("ink style", "tree")),
        ({"ss_tag_frequency": TAGS, "ss_num_train_images": "120"}, "", ("ink style",)),  # 10 * 10 + 2 * 2 of 120
        ({"ss_tag_frequency": TAGS, "ss_num_train_images": "5000"}, "", ()),
        ({"ss_tag_frequency": TAGS, "modelspec.trigger_phrase": "inky"}, "", ("inky",)),
        ({"ss_tag_frequency": TAGS}, "my ink,  of \n mine , my ink", ("my ink", "of mine")),
        ({"ss_tag_frequency": "[" * 100_000}, "", ()),
        ({"ss_tag_frequency": '{"a": {"b": "many", "c": -1, "d": true}}'}, "", ()),
        ({"ss_tag_frequency": " " * (MOST_TAGS + 1)}, "", ()),
        ({}, "x" * 5000, ()),
    ],
)
def test_trigger_words(metadata: dict[str, str], noted: str, triggers: tuple[str, ...]) -> None:
    assert triggers_of(metadata, noted) == triggers


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (
            {"ss_sd_model_name": "/data/v1-5.safetensors", "ss_resolution": "(512, 768)", "ss_steps": "1200"},
            "Trained on v1-5.safetensors at 512 × 768, 1,200 steps",
        ),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "Trained on sdxl_base_v1-0"),
        ({"ss_steps": "40"}, "Trained for 40 steps"),
        ({"ss_steps": "9" * 5000, "ss_resolution": "None"}, ""),
    ],
)
def test_what_it_was_trained_on(metadata: dict[str, str], sentence: str) -> None:
    assert training_of(metadata) == sentence


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ink", {"model": "ink"}),
        ("ink:0.8", {"model": "ink", "weight": "0.8"}),
        ("styles/ink:0.8:-.6", {"model": "styles/ink", "weight": "0.8", "text_weight": "-.6"}),
        ("ink::0.5", {"model": "ink", "text_weight": "0.5"}),
        ("ink,weight=0.3", {"model": "ink", "weight": "0.3"}),
        ("a: b", {"model": "a: b"}),
    ],
)
def test_the_command_line_s_short_form(text: str, values: dict[str, str]) -> None:
    assert LoRA.parse(text) == values


def test_names_that_are_spelled_alike_are_said_first() -> None:
    assert "Did you mean styles/Ink?" in str(UnknownName("LoRA", "inc", ["styles/Ink", "wax"]))
    assert "Did you mean" not in str(UnknownName("LoRA", "zzz", ["styles/Ink", "wax"]))
    with pytest.raises(InvalidRequest, match="has no setting"):
        LoRA.parse("ink:1,strength=2")
