"""What is said of a prompt's words."""

from hypothesis import given
from hypothesis import strategies as st

from studio.core.prompts import unknown_words

WORDS = {"Things": ("heart", "moon"), "Places": ("at the top left",), "": ("a", "and")}


def named(text: str) -> list[str]:
    return [text[each.start : each.end] for each in unknown_words(text, WORDS)]


def test_words_and_symbols_that_are_in_no_group_are_named_where_they_are() -> None:
    assert named("A heart, and the moon at the top left.") == []
    assert named("an astronaut and a cat, قطة 😀") == ["an", "astronaut", "cat", "قطة", "😀"]
    assert named("(heart:1.2) [moon]") == ["1", "2"]  # brackets are punctuation


def test_a_word_of_like_spelling_is_proposed() -> None:
    (unknown,) = unknown_words("a hart", WORDS)
    assert unknown.alike == ("heart",)


def test_a_model_without_a_vocabulary_knows_no_unknown_words() -> None:
    assert unknown_words("anything at all 😀", {}) == ()


@given(st.text(max_size=300))
def test_any_text_has_spans_in_order_that_do_not_overlap(text: str) -> None:
    at = 0
    for each in unknown_words(text, WORDS):
        assert at <= each.start < each.end <= len(text)
        at = each.end
