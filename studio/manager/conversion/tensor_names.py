"""The tensor names that models were published under, as diffusers and transformers have them: `tensor_names.yaml`, applied.

Works on names and shapes; reads no tensor. U-Nets and autoencoders are not in the table: diffusers renames those itself.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Shapes = Mapping[str, tuple[int, ...]]
FILE = Path(__file__).with_name("tensor_names.yaml")
ENDING = re.compile(r"\.(weight|bias|scale)$")
BLOCK = re.compile(r"(?<=\.)\d+(?=\.)")
SWAPPED = "swapped"
T5_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "embed_tokens.weight")


@dataclass(frozen=True)
class Piece:
    """One tensor to be written: `shape[0]` rows of `source` from `start` on; halves exchanged where `swapped`."""

    name: str
    shape: tuple[int, ...]
    source: str | None  # None: an identity matrix
    start: int = 0
    swapped: bool = False


def pieces_of(class_name: str, shapes: Shapes) -> list[Piece] | None:
    """The tensors of a component of this class under its own names; None where no table has the class."""
    if class_name in ("CLIPTextModel", "CLIPTextModelWithProjection"):  # what it counts (position_ids) is not learned
        return [Piece(key, shape, key) for key, shape in shapes.items() if ENDING.search(key)]
    if class_name == "T5EncoderModel" and not any(key.startswith("enc.blk.") for key in shapes):
        return _t5_pieces(shapes)
    return _renamed(_tables()[class_name], shapes) if class_name in _tables() else None


def _t5_pieces(shapes: Shapes) -> list[Piece]:
    """T5's encoder, whole or without its first word; its embedding goes under one of two names, or under both."""
    embedding = next((key for key in T5_EMBEDDINGS if key in shapes), None)
    made = [Piece("shared.weight", shapes[embedding], embedding)] if embedding else []
    for key, shape in shapes.items():
        if key.endswith(".weight") and key not in T5_EMBEDDINGS:
            made.append(Piece(key if key.startswith("encoder.") else f"encoder.{key}", shape, key))
    return made


def _renamed(table: dict[str, Any], shapes: Shapes) -> list[Piece]:
    stems = {key: ENDING.sub("", key) for key in shapes}
    blocks = {key: found[0] for key, stem in stems.items() if (found := BLOCK.search(stem))}
    last, out = max(map(int, blocks.values()), default=-1), []
    for key, stem in stems.items():
        block = blocks.get(key, "")
        words = ("last", "*") if block == str(last) else ("*",)
        named = next((n for word in words if (n := BLOCK.sub(word, stem, count=1)) in table), None)
        if named is not None:
            ending = key.removeprefix(stem).replace(".scale", ".weight")
            out += _dealt(key, shapes[key], table[named], block, ending)
    return out


def _dealt(key: str, shape: tuple[int, ...], targets: Any, block: str, ending: str) -> list[Piece]:
    """The rows of one tensor, dealt out to its targets."""
    if not isinstance(targets, dict):
        targets = dict.fromkeys([targets] if isinstance(targets, str) else targets, 1)
    swapped = SWAPPED in targets.values()
    shares = [1 if share == SWAPPED else share for share in targets.values()]
    start, out = 0, []
    for target, share in zip(targets, shares, strict=True):
        rows = shape[0] // sum(shares) * share
        name = target.replace("*", block) + ending
        out.append(Piece(name, (rows, *shape[1:]), key, start, swapped))
        start += rows
    return out


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return tables
