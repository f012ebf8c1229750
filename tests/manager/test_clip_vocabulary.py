"""CLIP's tokenizer in the forms that people have it: a folder's files, or the one packed file that OpenAI publishes."""

import gzip
from pathlib import Path

import pytest

from studio.core.errors import ModelError
from studio.manager.disk.tokenizers import END, PACKED, SIZE, find_vocabulary, write_tokenizer


def letters() -> list[str]:
    """Of the 256 bytes, in CLIP's order."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return list(bytes_to_unicode().values())


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pairs = [f"{a} {b}" for a in letters() for b in letters()]
    rows = ["#version: 0.2", *pairs, *["too many"] * 9]  # the published file has more merges than CLIP uses
    file = tmp_path / "models/tokenizers/clip" / PACKED
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress("\n".join(rows).encode()))
    return file


def test_the_packed_file_gives_what_the_folder_that_is_written_of_it_gives(packed: Path, tmp_path: Path) -> None:
    vocab, merges = find_vocabulary((tmp_path / "models",))
    own = letters()
    assert (len(vocab), vocab[END], len(merges)) == (SIZE, SIZE - 1, SIZE - 512 - 2)
    assert [vocab[letter] for letter in own] == list(range(256))
    assert vocab[own[0] + "</w>"] == 256 and vocab[own[0] + own[0]] == 512
    write_tokenizer(tmp_path / "other/tokenizers/clip", (vocab, merges), END)
    assert find_vocabulary((tmp_path / "other",)) == (vocab, merges)


@pytest.mark.parametrize(
    "spoilt", [b"", b"no archive", gzip.compress(bytes(64 << 20)), gzip.compress(b"\xff\n" * 60_000)]
)
def test_a_packed_file_that_is_damaged_or_swells_is_passed_over(spoilt: bytes, packed: Path, tmp_path: Path) -> None:
    found = find_vocabulary((tmp_path / "models",))
    packed.write_bytes(spoilt)
    with pytest.raises(ModelError, match=r"Fetch vocab\.json and merges\.txt"):
        find_vocabulary((tmp_path / "models",))
    write_tokenizer(tmp_path / "models/sd/tokenizer", found, END)
    assert find_vocabulary((tmp_path / "models",)) == found
