"""The AUTOMATIC1111 text: what is written is read back, whatever a prompt holds; and what others wrote is understood."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.core import infotext
from studio.core.infotext import NEGATIVE, Infotext
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest

# Any text of a prompt, but for a line that the grammar itself takes for the negative prompt.
prompts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200).filter(
    lambda text: not any(line.startswith(NEGATIVE) for line in text.split("\n"))
)
tricky = st.sampled_from(
    ['a, "quoted", b', "Steps: 20, Sampler: Euler, Seed: 1", "one\ntwo\n\nthree", "ends\n", "a: b, c"]
)
keys = st.from_regex(re.compile(r"[A-Za-z][A-Za-z \-]{1,20}[a-z]", re.ASCII), fullmatch=True)
values = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda text: text.strip() and not re.match(r"^\d+x\d+$", text)
)


def recipe(**settings: object) -> Recipe:
    request = GenerationRequest(
        **({"model": "starter/tiny", "sampler": "dpmpp_2m", "width": 128, "height": 64, "seed": 5} | settings)
    )
    return Recipe(
        request=request,
        index=1,
        seed=6,
        model=request.model,
        model_title="Tiny",
        family="sd1",
        pipeline="StableDiffusionPipeline",
        scheduler="DPMSolverMultistepScheduler",
        weights={"vae": "f" * 64, "unet": "0123456789abcdef" * 4},
        dtype="fp32",
        device="cpu",
        libraries={},
    )


@given(prompts | tricky, prompts | tricky)
def test_prompts_come_back_exactly(prompt: str, negative: str) -> None:
    found = infotext.parse(infotext.write(recipe(prompt=prompt, negative_prompt=negative)))
    assert (found.prompt, found.negative_prompt) == (prompt, negative)


@given(st.dictionaries(keys, values, min_size=3, max_size=8), prompts)
def test_any_parameters_come_back_exactly(params: dict[str, str], prompt: str) -> None:
    found = infotext.parse(infotext.compose(Infotext(prompt, "", {k: v for k, v in params.items() if k != v})))
    wanted = {k: v for k, v in params.items() if k != v}
    if len(wanted) >= 3:
        assert (found.prompt, found.params) == (prompt, wanted)


@given(st.text(max_size=300))
def test_no_text_is_too_strange_to_parse(text: str) -> None:
    assert isinstance(infotext.parse(text).prompt, str)


def test_what_we_write() -> None:
    text = infotext.write(recipe(prompt="a cat", spacing="karras", guidance_scale=7.5))
    assert text.splitlines()[1].startswith(
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 6, Size: 128x64, "
        "Model hash: 0123456789, Model: tiny, RNG: CPU, Version: unnoise "
    )


def test_a_prompt_alone_is_a_prompt() -> None:
    assert infotext.parse("a cat, sitting: happy") == Infotext("a cat, sitting: happy", "", {})
    assert infotext.parse("") == Infotext()


def test_a_template_behind_the_parameters_is_no_prompt() -> None:
    text = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1\nTemplate: a {cat|dog}"
    assert infotext.parse(text) == Infotext("a cat", "dog", {"Steps": "20", "Sampler": "Euler a", "Seed": "1"})


class Counted(str):
    """Text that counts the characters that are looked at, by whichever way."""

    looked = 0

    def find(self, part: str, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(part, start)
        Counted.looked += (len(self) if found < 0 else found) - start + 1
        return found

    def __getitem__(self, place: object) -> str:
        part = super().__getitem__(place)  # type: ignore[index]
        Counted.looked += len(part)
        return part


def work(text: str) -> int:
    Counted.looked = 0
    for _ in infotext.split_items(Counted(text)):
        pass
    return Counted.looked


@pytest.mark.parametrize(
    "piece",
    [" ", "a", ",", ":", '"', "\\", "a ", "a: ", 'aa: "', 'aa: "\\', "aa: [", 'aa: {"', "aa: [1], ", "a,", ":,", 'aa:"b" c', "\\\\"],
)  # fmt: skip
@pytest.mark.parametrize(
    "around", [("", ""), ('aa: "', ""), ("", ":"), ("aa: {", ""), ("Steps: 20, Seed: 1, cc: ", "")]
)
def test_reading_is_linear_in_hostile_text(piece: str, around: tuple[str, str]) -> None:
    before, after = around
    once, twice = (work(before + piece * number + after) for number in (1000, 2000))
    assert twice <= 2.1 * once + 200


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '"' + "\\" * 100_001])
def test_deep_and_escaped_values_are_text(text: str) -> None:
    assert infotext.parse(f"x\nSteps: 20, Seed: 1, Deep: {text}").params["Deep"] == text


def test_values_may_be_json_and_quotations() -> None:
    line = (
        'Steps: 20, Hashes: {"model": "abc", "lora:x": "d,e"}, TI: "a: \\"b\\", c", List: [1, 2], Odd: "a" b, Seed: 3'
    )
    assert infotext.parse(f"x\n{line}").params == {
        "Steps": "20",
        "Hashes": '{"model": "abc", "lora:x": "d,e"}',
        "TI": 'a: "b", c',
        "List": "[1, 2]",
        "Odd": '"a" b',
        "Seed": "3",
    }
