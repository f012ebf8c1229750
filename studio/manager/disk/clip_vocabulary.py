"""Where CLIP's tokenizer is found on this machine: single-file checkpoints need it and do not carry it.

Looked for, in this order: `tokenizers/clip/` in a models folder, any model folder that has the same tokenizer, and the
vocabulary that the open_clip package ships for use. Never fetched.
"""

import gzip
import importlib.util
import json
from pathlib import Path

from studio.core.errors import ModelError
from studio.manager.disk.extra_paths import folders_of
from studio.manager.disk.t5_vocabulary import tokenizer_folders

SIZE = 49408
START, END = "<|startoftext|>", "<|endoftext|>"
PACKED = "bpe_simple_vocab_16e6.txt.gz"
MISSING = (
    "A single file does not carry CLIP's tokenizer, and none was found here. Fetch vocab.json and merges.txt of "
    "openai/clip-vit-large-patch14 into models/tokenizers/clip/."
)


def find_vocabulary(folders: tuple[Path, ...]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(vocab, merges) of CLIP's tokenizer; raises ModelError naming what to fetch and where to put it."""
    for place in vocabulary_places(folders):
        found = read_packed(place) if place.name == PACKED else _read_folder(place.parent)
        if found:
            return found
    raise ModelError(MISSING)


def vocabulary_places(folders: tuple[Path, ...]) -> list[Path]:
    """The files that may hold CLIP's vocabulary; none of them has been read."""
    package = importlib.util.find_spec("open_clip")
    own = [Path(place) for place in (package.submodule_search_locations or [])] if package else []
    below = [
        place for root in folders_of(folders) for place in (root / "tokenizers" / "clip", *tokenizer_folders(root))
    ]
    names = (PACKED, "vocab.json", "tokenizer.json")
    return [place / name for place in (*below, *own) for name in names if (place / name).is_file()]


def write_tokenizer(folder: Path, vocabulary: tuple[dict[str, int], list[tuple[str, str]]], pad: str) -> None:
    """A CLIPTokenizer's folder: vocabulary, merges and configuration, with `pad` as the padding token."""
    vocab, merges = vocabulary
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


def read_packed(file: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's own distribution of its BPE: a line of version, then merges in order of rank (openai/CLIP, simple_tokenizer)."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = lines.read().split("\n")
    merges = [(a, b) for row in rows[1 : SIZE - 512 - 2 + 1] for a, b in [row.split()]]
    letters = byte_letters()
    words = letters + [letter + "</w>" for letter in letters] + [a + b for a, b in merges] + [START, END]
    return {word: number for number, word in enumerate(words)}, merges


def byte_letters() -> list[str]:
    """The printable stand-ins of the 256 bytes, in the order of GPT-2's and CLIP's vocabularies."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]


def _read_folder(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]] | None:
    """A tokenizer folder's vocabulary, if it is CLIP's: 49,408 words, the last of them the end of text."""
    try:
        if (folder / "vocab.json").is_file():
            vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
            lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
        else:
            model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
            vocab = model["vocab"]
            lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(vocab, dict) or len(vocab) != SIZE or vocab.get(END) != SIZE - 1:
        return None
    merges = [(a, b) for line in lines if line and not line.startswith("#version") for a, b in [line.split()]]
    return vocab, merges
