"""T5's tokenizer in the form that published folders have it, a spiece.model alone: read offline, found for single files."""

import io
import json
from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import ModelError
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
