"""The prompt language against results that A1111 documents for it, and against texts made to hurt it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.prompts import PromptError, parse, weighted
from studio.prompts.schedule import schedule_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                *[("a ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1)],
                *[("sky", 1.4641), (".", 1.1)],
            ],
        ),
        ("[less]", [("less", 1 / 1.1)]),
        ("(a: 1.5 ) b:2", [("a", 1.5), (" b:2", 1)]),
        ("(a:-1)(b:0)(c:.5)", [("a", -1), ("b", 0), ("c", 0.5)]),
        (r"a \\(b)", [("a \\", 1), ("b", 1.1)]),
        ("", []),
        ("()", []),
        ("a) b]", [("a) b]", 1)]),
    ],
)
def test_weights_are_those_that_a1111_documents(text: str, expected: list[tuple[str, float]]) -> None:
    found = weighted(text)
    assert [piece.text for piece in found] == [words for words, _ in expected]
    assert [piece.weight for piece in found] == pytest.approx([weight for _, weight in expected])


def test_break_ends_a_chunk() -> None:
    found = [(piece.text, piece.weight, piece.ends_chunk) for piece in weighted("a cat BREAK (a dog BREAK bird:2)")]
    assert found == [("a cat", 1, True), ("a dog", 2, True), ("bird", 2, False)]
    assert weighted("BREAKFAST")[0].ends_chunk is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("a [{b|d{:.5] c", [(5, "a  c"), (10, "a {b|d{ c")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[a|(b:1.1)]", [(step, "a" if step % 2 else "(b:1.1)") for step in range(1, 11)]),
        ("[fe|]male", [(step, "female" if step % 2 else "male") for step in range(1, 11)]),
        ("[fe|||]male", [(step, "female" if step % 4 == 1 else "male") for step in range(1, 11)]),
        ("[a::0.4] b", [(4, "a b"), (10, " b")]),
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:50]", [(10, "a")]),
        (r"\[a:b:3\]", [(10, r"\[a:b:3\]")]),
        ("[one:two:three]", [(10, "[one:two:three]")]),
    ],
)
def test_schedules_are_those_that_a1111_documents(text: str, expected: list[tuple[int, str]]) -> None:
    assert schedule_of(text).rows(10) == expected


def test_a_text_of_a_schedule_knows_where_it_was_written() -> None:
    text = "a [red:blue:0.5] heart"
    late = schedule_of(text).at(10, 10)
    assert late.text == "a blue heart"
    assert [text[late.source(at)] for at in range(len(late.text))] == list(late.text)


def test_and_joins_conjuncts_with_weights() -> None:
    def found(text: str) -> list[tuple[str, float]]:
        return [(each.schedule.text.strip(), each.weight) for each in parse(text).conjuncts]

    assert found("a cat AND a dog") == [("a cat", 1), ("a dog", 1)]
    assert found("a cat :0.7 AND a dog:-1.2 AND (bird:2)") == [("a cat", 0.7), ("a dog", -1.2), ("(bird:2)", 1)]
    assert found("ratio 16:9") == [("ratio 16:9", 1)]  # a weight only where there is AND
    assert found("SAND AND ANDROID") == [("SAND", 1), ("ANDROID", 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red heart, 16:9", "a red heart, 16:9"),
        (r"a smile :\)", "a smile :)"),
        ("a (red) heart", None),
        ("a [red|blue] heart", None),
        ("a AND b", None),
        ("a BREAK b", None),
        ("(a:1)", "a"),
    ],
)
def test_a_prompt_of_plain_words_is_known_as_such(text: str, words: str | None) -> None:
    assert parse(text).words == words


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "[" * 10_000, "([" * 5_000 + "])" * 5_000, "[a:" * 5000 + "b:3]" * 5000]
)
def test_ten_thousand_brackets_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(PromptError, match=r"brackets are open inside one another|characters long"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        ")" * 20_000,
        "[a:b:3]" * 2800,
        "()" * 10_000,
        " " * 20_000,
        "\\" * 20_000,
        "[a|" + "b|" * 9_000 + "]",
        ":" * 20_000,
    ],
)
def test_long_prompts_are_read(text: str) -> None:
    assert "".join(piece.text for piece in weighted(parse(text).conjuncts[0].schedule.at(1, 20).text)) is not None


def test_a_longer_prompt_is_refused() -> None:
    with pytest.raises(PromptError, match="20,001 characters"):
        parse("a" * 20_001)


@given(st.text(alphabet=r"ab :|()[]\.1AND", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for conjunct in parse(text).conjuncts:
        for _, row in conjunct.schedule.rows(7):
            at = 0
            for piece in weighted(row):
                assert at <= piece.start <= piece.end <= len(row)
                at = piece.end
