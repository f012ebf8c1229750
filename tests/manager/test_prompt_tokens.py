"""Tokens are counted as the pipelines' own tokenizers count them."""

import json
import re
from pathlib import Path

import pytest

from studio.manager.prompt_tokens import count_tokens
from studio.training.datasets.tinyworld import TinyWorld
from tests.sweeps import one_in

STARTERS = Path("models/starter")
PROMPTS = (
    "a large red heart, striped yellow background",
    "an astronaut's   dog, 3 cats & 😀 قطة",
    "",
    "ring " * 60,
)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", ["tinyworld-sd", "tinyworld-pixart"])
@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.json"])
def test_a_count_is_that_of_transformers_tokenizer(name: str, prompt: str, files: str, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    own = CLIPTokenizer.from_pretrained(STARTERS / name / "tokenizer", local_files_only=True)
    copy = tmp_path / "tokenizer"
    copy.mkdir()
    for file in {files, "merges.txt", "tokenizer_config.json"}:
        copy.joinpath(file).write_bytes((STARTERS / name / "tokenizer" / file).read_bytes())
    count = count_tokens(prompt, tmp_path, None, None, ())
    assert count is not None
    ids = own(prompt, truncation=False, padding=False)["input_ids"]
    assert count.tokens == len(ids) - 2
    assert count.limit == own.model_max_length - 2
    read = own(prompt[: count.cut], truncation=False, padding=False)["input_ids"]
    assert len(read) - 2 == min(count.tokens, count.limit)


def test_a_folder_whose_tokenizer_is_broken_or_missing_is_not_counted(tmp_path: Path) -> None:
    assert count_tokens("a heart", tmp_path, None, None, ()) is None
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{")
    assert count_tokens("a heart", tmp_path, None, None, ()) is None
    assert count_tokens("a heart", tmp_path / "model.safetensors", None, "sd1", (tmp_path,)) is None


@pytest.mark.parametrize("name", one_in(2, ["tinyworld-pixart", "tinyworld-sd"]))
def test_a_starters_card_lists_the_words_of_its_training_captions(name: str) -> None:
    card = json.loads((STARTERS / name / "unnoise.json").read_text(encoding="utf-8"))
    listed = {word for group in card["vocabulary"].values() for phrase in group for word in phrase.split()}
    said = {word for caption in TinyWorld().captions(0, 4000) for word in re.findall("[a-z]+", caption)}
    assert listed == said
    recipe = json.loads(Path(f"presets/training/cards/{name}.json").read_text(encoding="utf-8"))
    assert recipe == card
