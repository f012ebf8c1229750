"""Finds the tokenizers that single-file checkpoints need and do not carry, CLIP's and T5's, and writes their folders.

Looked for in `tokenizers/clip/` and `tokenizers/t5/` of a models folder, then in any diffusers folder that has the same
tokenizer. Never fetched.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.extra_paths import folders_of
from studio.manager.disk.safe_files import json_or_nothing, listed, read_json

SIZE = 49408
START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_FILES = ("vocab.json", "tokenizer.json")
T5_FILES = ("spiece.model", "tokenizer.json", "special_tokens_map.json", "added_tokens.json")
MISSING = (
    "A single file does not carry CLIP's tokenizer, and none was found here. Fetch vocab.json and merges.txt of "
    "openai/clip-vit-large-patch14 into models/tokenizers/clip/."
)
T5_MISSING = (
    "A single file does not carry T5's tokenizer, and none was found here. Fetch spiece.model of google/t5-v1_1-xxl into "
    "models/tokenizers/t5/."
)
Vocabulary = tuple[dict[str, int], list[tuple[str, str]]]  # words, and merges in order of rank


def find_vocabulary(folders: tuple[Path, ...]) -> Vocabulary:
    """CLIP's; raises ModelError naming what to fetch and where to put it."""
    found = clip_vocabulary(folders)
    if found is None:
        raise ModelError(MISSING)
    return found


def clip_vocabulary(folders: tuple[Path, ...]) -> Vocabulary | None:
    """The first that is CLIP's: 49,408 words, the last of them the end of text."""
    for file in vocabulary_places(folders):
        try:
            vocab, lines = _read(file)
            if len(vocab) == SIZE and vocab.get(END) == SIZE - 1:
                return vocab, [(a, b) for line in lines for a, b in [line.split()]]
        except (ModelError, OSError, ValueError, LookupError, TypeError, AttributeError):
            continue  # another tokenizer's, or damaged
    return None


def vocabulary_places(folders: tuple[Path, ...]) -> list[Path]:
    """The files that may hold CLIP's vocabulary; none of them has been read."""
    places = _tokenizer_folders(folders, "clip")
    return [place / name for place in places for name in CLIP_FILES if os.path.isfile(place / name)]


def _read(file: Path) -> tuple[dict[str, int], list[str]]:
    """Its words, and a line for each merge."""
    if file.name == "vocab.json":
        lines = file.with_name("merges.txt").read_text(encoding="utf-8").splitlines()
        return read_json(file), [line for line in lines if line and not line.startswith("#version")]
    model = read_json(file)["model"]
    return model["vocab"], [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]


def find_t5_tokenizer(folders: tuple[Path, ...]) -> Path | None:
    """The folder of a T5 tokenizer; PixArt, DeepFloyd IF, Stable Diffusion 3 and FLUX.1 have the same 32,100 words."""
    for place in _tokenizer_folders(folders, "t5"):
        if os.path.isfile(place / "spiece.model") or (os.path.isfile(place / "tokenizer.json") and _is_t5(place)):
            return place
    return None


def _is_t5(folder: Path) -> bool:
    return str(json_or_nothing(folder / "tokenizer_config.json").get("tokenizer_class", "")).startswith("T5")


def write_tokenizer(folder: Path, vocabulary: Vocabulary, pad: str) -> None:
    """A CLIPTokenizer's folder: vocabulary, merges and configuration, with `pad` as the padding token."""
    vocab, merges = vocabulary
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", encoding="utf-8")
    _write_config(folder, "CLIPTokenizer", 77, bos_token=START, eos_token=END, unk_token=END, pad_token=pad)


def write_t5_tokenizer(folder: Path, folders: tuple[Path, ...]) -> None:
    """A T5Tokenizer's folder; raises ModelError where none is here to be copied."""
    place = find_t5_tokenizer(folders)
    if place is None:
        raise ModelError(T5_MISSING)
    folder.mkdir(parents=True)
    for name in T5_FILES:
        if os.path.isfile(place / name):
            shutil.copyfile(place / name, folder / name)
    extra = json_or_nothing(place / "tokenizer_config.json").get("extra_ids", 100)
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write_config(folder, "T5Tokenizer", 512, **marks, extra_ids=extra)


def _write_config(folder: Path, class_name: str, length: int, **config: Any) -> None:
    values = {"tokenizer_class": class_name, "model_max_length": length} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(values, indent=2))


def _tokenizer_folders(folders: tuple[Path, ...], kind: str) -> list[Path]:
    """tokenizers/<kind>/ of each models folder, then tokenizer/, tokenizer_2/, ... down to three folders below it."""
    found: list[Path] = []
    for root in folders_of(folders):
        seen: set[tuple[int, int]] = set()
        level, below = [root], list[Path]()
        for _ in range(4):
            level = [Path(entry) for folder in level for entry in listed(folder, seen) if os.path.isdir(entry)]
            below += [path for path in level if path.name.startswith("tokenizer") and path.name != "tokenizers"]
        found += [root / "tokenizers" / kind, *sorted(below)]
    return found
