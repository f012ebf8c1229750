"""Walks the models folders and names what may be a model there, with a signature that changes when it does.

Opens no weights. Every folder is visited once, by whichever way it is reached, so links may form any ring; and a file that
lies here under several names is named once, by the place where it really is. Where a path is a program's own:

    models--org--name/snapshots/<revision>/model_index.json   huggingface_hub's cache: "name"
    name/diffusion_pytorch_model.safetensors                   a file that a library named: "name"
    name-00001-of-00003.safetensors                            one of several files: "name"
"""

import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from studio.core.annotators import FOLDER
from studio.core.errors import ModelError
from studio.manager.disk.cards import card_of, read_card
from studio.manager.disk.extra_paths import Place, paths_file, places_of, read_paths
from studio.manager.disk.notes import sidecars_in
from studio.manager.disk.safe_files import json_or_nothing, listed, stamp

SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
MAX_DEPTH = 6
# of programs, and of annotators
NO_MODELS = frozenset({"venv", "site-packages", "node_modules", "__pycache__", FOLDER})
REPOSITORY = "models--"
OTHER_REPOSITORIES = ("datasets--", "spaces--", "kernels--")
SNAPSHOTS = "snapshots"
SHOWN_REVISION = 7  # letters, as git shows them
LIBRARY_NAMES = re.compile(
    r"(diffusion_pytorch_model|pytorch_model|pytorch_lora_weights|adapter_model|model|learned_embeds)"
    r"(\.(fp16|bf16|fp32))?(-\d{5}-of-\d{5})?"
)
PARTS = re.compile(r"(unet|vae|transformer|text_encoder|image_encoder|controlnet|lora|prior|decoder)(_\d)?")
# Folders that programs sort models into, by which no model is called.
SORTED = frozenset({
    "checkpoints", "stable-diffusion", "main", "lora", "loras", "vae", "controlnet", "controlnets", "embeddings", "embedding",
    "unet", "diffusion_models", "diffusers", "text_encoders", "clip", "clip_vision", "upscale_models", "esrgan", "ipadapter",
    "ip_adapter", "t2i_adapter", "style_models", "models",
})  # fmt: skip
MAX_REF = 200  # bytes
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
MAX_SHARDS = 200


class Found(NamedTuple):
    """What may be a model; its id begins below `root`."""

    root: Path
    path: Path
    signature: str


def candidates(roots: Iterable[Path]) -> Iterator[Found]:
    """Each diffusers folder and each weights file; nothing within the former, nothing hidden. A file that names folders
    elsewhere is among them where it was not understood."""
    roots = list(roots)
    for file in filter(None, map(paths_file, roots)):
        problem = read_paths(file)[1]
        if problem:
            yield Found(file.parent, file, _hashed([file], problem))
    folders, files = set[tuple[int, int]](), set[tuple[int, int]]()
    found = [entry for place in places_of(roots) for entry in _entries(place, folders)]
    for root, path, names in sorted(
        found, key=lambda e: e[2] is not None and os.path.islink(e[1]) and 1 + is_old(e[1])
    ):
        if names is None:
            inside = (Path(parent) / name for parent, _, names in os.walk(path) for name in names)
            yield Found(root, path, _hashed(inside, folder_name(path)))
        elif _is_new(path, files):
            beside = map(path.with_name, sidecars_in(path.stem, names))
            yield Found(root, path, _hashed((*shards_of(path), card_of(path), *beside), file_name(path, depth=2)))


def _entries(place: Place, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, Path, frozenset[str] | None]]:
    """(root, path, the names of all that lies beside a file; None for a folder) of what is not hidden below one place."""
    pending: list[tuple[Path, int]] = [(place.folder, 0)]
    links: list[tuple[Path, int]] = []
    while pending or links:
        folder, depth = pending.pop() if pending else links.pop(0)  # what is really here goes before what is linked
        entries = listed(folder, seen)
        names = frozenset(entry.name for entry in entries)
        parts: frozenset[str] = frozenset()
        if "model_index.json" in names:
            yield place.root, folder, None
            if depth:
                continue
            parts = frozenset(json_or_nothing(folder / "model_index.json"))  # the root itself hides no other model
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith((".", *OTHER_REPOSITORIES)) or entry.name in NO_MODELS or entry.name in parts:
                continue
            if os.path.isdir(path):
                if depth < MAX_DEPTH:
                    (links if entry.is_symlink() else pending).append((path, depth + 1))
            elif _is_weights(path, names):
                yield place.root, path, names


def _is_weights(path: Path, names: frozenset[str]) -> bool:
    """Whether a file is to be named: of the several files of one model only the first that is there, and none that came with
    the studio and serves something else."""
    if not path.name.lower().endswith(SUFFIXES):
        return False
    try:
        card = read_card(card_of(path))
    except ModelError:
        pass  # listed with the reason
    else:
        if card.shipped and card.hidden:
            return False
    return path == next((shard for shard in shards_of(path) if shard.name in names), path)


def _is_new(path: Path, files: set[tuple[int, int]]) -> bool:
    """Whether the file has not been named before, or has a card of its own here; one that is not there is always new."""
    try:
        stat = path.stat()
    except OSError:
        return True
    known = stat.st_ino != 0 and (stat.st_dev, stat.st_ino) in files  # 0 where a disk numbers no files
    files.add((stat.st_dev, stat.st_ino))
    return not known or os.path.lexists(card_of(path))


def _hashed(files: Iterable[Path], *words: str) -> str:
    stamps = repr((sorted(map(stamp, files)), words))
    return f"{_code_version()}:{hashlib.sha256(stamps.encode(errors='surrogateescape')).hexdigest()}"


@cache
def _code_version() -> str:
    """Changes with the code that describes models, and with diffusers, so that nothing learned outlives the rule it came by."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256(importlib.metadata.version("diffusers").encode())
    models = here.parents[1] / "core" / "models.py"
    for source in sorted([*here.glob("*.*"), *here.parent.glob("families/**/*.[jp]*"), models]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


# ---- what a model is called, and which files make one


def folder_name(folder: Path) -> str:
    """The name of a model's folder; a repository's in the hub's cache, with the revision unless it is the main one."""
    if not _is_snapshot(folder):
        return folder.name
    name = folder.parent.parent.name.removeprefix(REPOSITORY).rpartition("--")[2]
    return name if _is_main(folder) else f"{name} ({folder.name[:SHOWN_REVISION]})"


def file_name(file: Path, depth: int) -> str:
    """The name of a weights file, without its suffix; that of its folder, of which there are `depth` below the root, where
    a library named the file, and a person, not a program, the folder."""
    folder = file.parent
    if not depth or not LIBRARY_NAMES.fullmatch(file.stem):
        shard = SHARD.fullmatch(file.stem)
        return shard[1] if shard else file.stem
    if depth > 1 and PARTS.fullmatch(folder.name):
        return f"{folder_name(folder.parent)} {folder.name}"
    return file.stem if folder.name.lower() in SORTED else folder_name(folder)


def shards_of(file: Path) -> tuple[Path, ...]:
    """All files of the model that this one belongs to, in order; most models are one file."""
    shard = SHARD.fullmatch(file.stem)
    if shard is None or not 1 < int(shard[3]) <= MAX_SHARDS:
        return (file,)
    numbers = range(1, int(shard[3]) + 1)
    return tuple(file.with_name(f"{shard[1]}-{number:05d}-of-{shard[3]}{file.suffix}") for number in numbers)


def is_old(path: Path) -> bool:
    """Whether the path lies in a revision of a cached repository that is not its main one."""
    snapshot = next((folder for folder in (path, *path.parents) if _is_snapshot(folder)), None)
    return snapshot is not None and not _is_main(snapshot)


def _is_snapshot(folder: Path) -> bool:
    return folder.parent.name == SNAPSHOTS and folder.parent.parent.name.startswith(REPOSITORY)


def _is_main(snapshot: Path) -> bool:
    """What the main branch names, or the only one there is."""
    try:
        with (snapshot.parent.parent / "refs" / "main").open("rb") as file:
            if file.read(MAX_REF).decode("ascii", "replace").strip() == snapshot.name:
                return True
    except OSError:
        pass  # downloaded by its revision: there is no branch
    try:
        return len([path for path in snapshot.parent.iterdir() if path.is_dir()]) == 1
    except OSError:
        return True
