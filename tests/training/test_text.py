"""The tokenizer loses no word, and near misses are wrong in one respect."""

import re

import numpy as np
import pytest

from studio import compat

compat.prepare()

from studio.training.datasets import datasets  # noqa: E402
from studio.training.text import near_miss, tokenize, train_tokenizer  # noqa: E402


@pytest.fixture(scope="module")
def captions():
    return datasets.get("tinyworld")(styles=("flat", "outline", "soft", "pixel")).captions(0, 3000)


@pytest.fixture(scope="module")
def tokenizer(captions, tmp_path_factory):
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(captions, 1024, 40).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def test_every_word_is_one_token_and_survives(tokenizer, captions):
    words = {word for caption in captions for word in re.findall(r"[a-z]+", caption)}
    assert len(words) > 80
    for word in words:
        ids = tokenizer(word).input_ids
        assert len(ids) == 3, word
        assert tokenizer.decode(ids[1:-1]).strip() == word


def test_whole_captions_survive(tokenizer, captions):
    for caption in captions[:200]:
        said = tokenizer.decode(tokenizer(caption).input_ids, skip_special_tokens=True)
        assert re.sub(r"\s", "", said) == re.sub(r"\s", "", caption)


@pytest.mark.parametrize("text", ["Zebra", "naïve café", "赤い星", "🐟", "\x00\x01", "", " ", "a" * 10_000, "שלום"])
def test_any_text_encodes_to_the_tokenizer_s_length(tokenizer, text):
    ids, mask = tokenize(tokenizer, [text], tokenizer.model_max_length)
    assert ids.shape == mask.shape == (1, 40)
    assert ids.max() < len(tokenizer)


def test_case_and_spaces_do_not_matter(tokenizer):
    assert tokenizer("A  RED\theart").input_ids == tokenizer("a red heart").input_ids


def test_near_misses_differ_and_exchange_what_belongs_together():
    rng = np.random.default_rng(0)
    caption = "a red star on the left and a blue ring on the right, night"
    misses = {near_miss(caption, rng) for _ in range(200)}
    assert all(re.sub(r"[ ,]", "", m) != re.sub(r"[ ,]", "", caption) for m in misses)
    assert "a blue star on the left and a red ring on the right, night" in misses
    assert near_miss("the sun", rng) != "the sun"
