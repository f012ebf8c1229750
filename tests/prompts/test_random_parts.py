"""Random parts of prompts, wildcards and LoRA tags."""

from pathlib import Path

import pytest

from studio.core.models import ModelInfo
from studio.prompts import PromptError
from studio.prompts.random_parts import expand
from studio.prompts.tags import lora_of, tags_of, without_tags
from studio.prompts.wildcards import Wildcards


@pytest.fixture
def wildcards(tmp_path: Path) -> Wildcards:
    folder = tmp_path / "wildcards"
    (folder / "world").mkdir(parents=True)
    files = {
        "colour": "red\n# a remark\n\nblue\n",
        "world/shape": "heart\n{star|moon}\n",
        "both": "__colour__ __world/shape__",
        "loop": "a __loop__",
        "ping": "__pong__",
        "pong": "__ping__",
        "empty": "# nothing\n",
        "lora": "<lora:ink:1>",
        "many": "__dozen__ " * 12,
        "dozen": "__ten__ " * 12,
        "ten": "__colour__ " * 12,
    }
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return Wildcards(folder)


def test_a_choice_depends_on_the_seed_alone(wildcards: Wildcards) -> None:
    text = "a {red|blue|green} __world/shape__, {2$$a|b|c}"
    made = [expand(text, seed, wildcards) for seed in range(40)]
    assert made == [expand(text, seed, wildcards) for seed in range(40)]
    assert {words.split()[1] for words in made} == {"red", "blue", "green"}
    assert {words.split()[2] for words in made} == {"heart,", "star,", "moon,"}
    assert all(len(set(words.split(", ")[1:])) == 2 for words in made)


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("plain", {"plain"}),
        ("{a}", {"a"}),
        ("{a|{b|c}}", {"a", "b", "c"}),
        ("{1::a|0::b}", {"a"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("{1-2$$a|b}", {"a", "b", "a, b", "b, a"}),
        (r"\{a\|b\}", {"{a|b}"}),
        ("{a|b", {"{a|b"}),
        ("snake_case and __init", {"snake_case and __init"}),
        ("__colour__", {"red", "blue"}),
    ],
)
def test_what_random_parts_become(text: str, possible: set[str], wildcards: Wildcards) -> None:
    assert {expand(text, seed, wildcards) for seed in range(60)} == possible


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("__loop__", "loop refers to itself"),
        ("__ping__", "ping refers to itself"),
        ("__colours__", "There is no wildcard 'colours' in the folder wildcards. There are: colour"),
        ("__link__", "no wildcard 'link'"),
        ("__empty__", "has no lines"),
        ("__lora__", "name it in the prompt itself"),
        ("{<lora:ink:1>|b}" * 20, "name it in the prompt itself"),
        ("__many__", "more than 1,000 others"),
        ("{" * 10_000, "inside one another"),
    ],
)
def test_what_cannot_be_expanded_is_refused_in_a_sentence(text: str, sentence: str, wildcards: Wildcards) -> None:
    with pytest.raises(PromptError, match=sentence):
        expand(text, 1, wildcards)


def test_a_name_never_leads_out_of_the_folder(wildcards: Wildcards) -> None:
    assert expand("__../secret__", 1, wildcards) == "__../secret__"  # no name at all
    with pytest.raises(PromptError, match="no wildcard"):
        wildcards("../secret")
    with pytest.raises(PromptError, match="no wildcard"):
        wildcards("/etc/hostname")


def test_a_tag_is_a_lora_with_its_weights() -> None:
    models = [ModelInfo(id="lora/ink", title="Ink", kind="lora"), ModelInfo(id="sd", title="SD", kind="diffusers")]
    found = [lora_of(tag, models) for tag in tags_of("a <lora:ink:0.8> b <lora:Ink> <lora:lora/ink:0.8:0.6>")]
    assert [(each.model, each.weight, each.text_weight) for each in found] == [
        ("lora/ink", 0.8, None),
        ("lora/ink", 1.0, None),
        ("lora/ink", 0.6, 0.8),
    ]
    assert without_tags("a cat <lora:ink:0.8>") == "a cat"
    with pytest.raises(PromptError, match=r"no LoRA called 'inc'. Near matches: ink"):
        lora_of(tags_of("<lora:inc:1>")[0], models)
    for wrong in ("<lora:ink:much>", "<lora::1>", "<lora:ink:1:2:3>", "<lora:ink:99>", "<lora:ink:nan>"):
        with pytest.raises(PromptError):
            tags_of(wrong)
