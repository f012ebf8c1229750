"""What the page shows of a prompt."""

from hypothesis import given
from hypothesis import strategies as st

from studio.core.models import ModelInfo
from studio.prompts.reading import plain_text, spans_of

MODELS = [ModelInfo(id="lora/ink", title="Ink", kind="lora")]


def lines(name: str) -> list[str]:
    return ["red"]


def shown(text: str) -> list[tuple[str, str, float | None]]:
    return [(each.kind, text[each.start : each.end], each.weight) for each in spans_of(text, MODELS, lines)]


def test_parts_are_marked_where_they_are_written() -> None:
    assert shown("a (red:1.5) heart") == [("weight", "red", 1.5)]
    assert shown("[a red heart:a (blue:1.2) star:0.5]") == [
        ("schedule", "[a red heart:a (blue:1.2) star:0.5]", None),
        ("weight", "blue", 1.2),
    ]
    assert shown("a [b|c] AND {d|(e)} __f__ <lora:ink:0.8>") == [
        ("alternation", "[b|c]", None),
        ("join", "AND", None),
        ("random", "{d|(e)}", None),
        ("random", "__f__", None),
        ("lora", "<lora:ink:0.8>", None),
    ]
    assert shown("plain words, 16:9") == []


def test_what_is_wrong_is_marked_with_its_sentence() -> None:
    (wrong,) = spans_of("a <lora:inc:1>", MODELS, lines)
    assert (wrong.kind, wrong.start, wrong.end) == ("error", 2, 14)
    assert "Near matches: ink" in wrong.note


def test_the_words_know_where_they_are_written() -> None:
    text = "a (red:1.5) [big:small:0.5] heart BREAK <lora:ink:1> moon"
    words, where = plain_text(text)
    assert words.split() == ["a", "red", "big", "heart", "moon"]
    assert text[where[words.index("heart")] :].startswith("heart")
    assert len(words) == len(where)


@given(st.text(alphabet=r"ab :|()[]{}_\.1AND<lora>", max_size=60))
def test_any_text_can_be_shown(text: str) -> None:
    words, where = plain_text(text)
    assert len(words) == len(where)
    assert all(0 <= at <= len(text) for at in where)
    for span in spans_of(text, MODELS, lines):
        assert 0 <= span.start <= span.end <= len(text)
