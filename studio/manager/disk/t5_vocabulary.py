"""Where T5's tokenizer is found on this machine: checkpoints that are told by T5 need it and do not carry it.

Looked for in `tokenizers/t5/` of a models folder, and in any diffusers folder that is told by T5 too (PixArt, DeepFloyd
IF, Stable Diffusion 3, FLUX.1: the same 32,100 words). Never fetched.
"""

import json
import os
import shutil
from pathlib import Path

from studio.core.errors import ModelError
from studio.manager.disk.extra_paths import folders_of
from studio.manager.disk.folders import read_json

FILES = ("spiece.model", "tokenizer.json", "special_tokens_map.json", "added_tokens.json")
MAX_LENGTH = 512


def find_t5_tokenizer(folders: tuple[Path, ...]) -> Path | None:
    """The folder of a T5 tokenizer below one of the models folders."""
    for root in folders_of(folders):
        for place in (root / "tokenizers" / "t5", *tokenizer_folders(root)):
            if (place / "spiece.model").is_file() or ((place / "tokenizer.json").is_file() and _is_t5(place)):
                return place
    return None


def write_t5_tokenizer(folder: Path, folders: tuple[Path, ...]) -> None:
    """A T5Tokenizer's folder; raises ModelError where none is here to be copied."""
    place = find_t5_tokenizer(folders)
    if place is None:
        raise ModelError(
            "A single file does not carry T5's tokenizer, and none was found here. Fetch spiece.model of "
            "google/t5-v1_1-xxl into models/tokenizers/t5/."
        )
    folder.mkdir(parents=True)
    for name in FILES:
        if (place / name).is_file():
            shutil.copyfile(place / name, folder / name)
    config = {
        "tokenizer_class": "T5Tokenizer",
        "model_max_length": MAX_LENGTH,
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "extra_ids": _config(place).get("extra_ids", 100),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


def tokenizer_folders(root: Path) -> list[Path]:
    """tokenizer/, tokenizer_2/, ... of a diffusers folder that `root` is or holds, down to three folders below.

    Each folder is entered once, by whichever link it is reached.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    level = [root]
    for _ in range(4):
        below = [path for folder in level for path in _folders_in(folder, seen)]
        found += [path for path in below if path.name.startswith("tokenizer") and path.name != "tokenizers"]
        level = below
    return sorted(found)


def _folders_in(folder: Path, seen: set[tuple[int, int]]) -> list[Path]:
    try:
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            return []
        seen.add((stat.st_dev, stat.st_ino))
        return sorted(path for path in folder.iterdir() if os.path.isdir(path))
    except OSError:
        return []


def _is_t5(folder: Path) -> bool:
    return str(_config(folder).get("tokenizer_class", "")).startswith("T5")


def _config(folder: Path) -> dict[str, object]:
    try:
        return read_json(folder / "tokenizer_config.json")
    except ModelError:
        return {}
