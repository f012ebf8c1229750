"""T5's and CLIP's tokenizers as people have them: read offline, found for single files."""

import io
import json
from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import ModelError
from studio.manager.disk import tokenizers
from studio.manager.disk.tokenizers import find_t5_tokenizer, write_t5_tokenizer
from studio.manager.loading import load_folder

compat.prepare()
import sentencepiece  # noqa: E402

TEXT = ["a large red heart on the left", "a small blue star on white ground", "a ring on the right"] * 40
PROMPT = "a large blue heart on the right"


@pytest.fixture(scope="module")
def spiece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real SentencePiece model, trained here, with T5's marks at T5's places."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_writer=model, vocab_size=60, model_type="unigram", pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    file = tmp_path_factory.mktemp("spiece") / "spiece.model"
    file.write_bytes(model.getvalue())
    return file


def published(folder: Path, spiece: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(spiece.read_bytes())
    config = {"tokenizer_class": "T5Tokenizer", "model_max_length": 77, "extra_ids": 100}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("class_name", ["T5Tokenizer", "T5TokenizerFast"])
def test_a_folder_with_only_spiece_model_is_read_as_sentencepiece_reads_it(
    class_name: str, spiece: Path, tmp_path: Path
) -> None:
    published(tmp_path / "model/tokenizer", spiece)
    tokenizer = load_folder(tmp_path / "model/tokenizer", "transformers", class_name)
    own = sentencepiece.SentencePieceProcessor(model_proto=spiece.read_bytes())
    assert tokenizer(PROMPT).input_ids == [*own.encode(PROMPT), own.eos_id()]
    assert len(tokenizer) == own.get_piece_size() + 100


def test_a_single_file_borrows_it_from_any_folder_that_has_one(spiece: Path, tmp_path: Path) -> None:
    published(tmp_path / "diffusers/PixArt-Sigma/tokenizer", spiece)
    assert find_t5_tokenizer((tmp_path,)) == tmp_path / "diffusers/PixArt-Sigma/tokenizer"
    write_t5_tokenizer(tmp_path / "made/tokenizer_2", (tmp_path,))
    tokenizer = load_folder(tmp_path / "made/tokenizer_2", "transformers", "T5Tokenizer")
    assert tokenizer.model_max_length == 512
    assert tokenizer(PROMPT).input_ids[-1] == tokenizer.eos_token_id == 1


def test_without_one_the_message_names_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"spiece\.model of google/t5-v1_1-xxl into models/tokenizers/t5/"):
        write_t5_tokenizer(tmp_path / "made", (tmp_path,))


def test_clip_s_words_are_read_back_from_the_folder_that_is_written_and_others_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "SIZE", 4)
    words = ({"a": 0, "b": 1, "ab": 2, tokenizers.END: 3}, [("a", "b")])
    (tmp_path / "models/tokenizers/clip").mkdir(parents=True)
    (tmp_path / "models/tokenizers/clip/tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match=r"Fetch vocab\.json and merges\.txt"):
        tokenizers.find_vocabulary((tmp_path / "models",))
    tokenizers.write_tokenizer(tmp_path / "models/sd/tokenizer", words, tokenizers.END)
    assert tokenizers.find_vocabulary((tmp_path / "models",)) == words
