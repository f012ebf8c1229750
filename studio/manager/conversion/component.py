"""Converts one component of a checkpoint: its tensors under diffusers' names, in the run's dtype, below a configuration.

Where the names are known (`tensor_names.yaml`, or diffusers' own renaming) the weights pass through tensor by tensor; else
diffusers converts the component whole. Does not know what else the model is made of.
"""

import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import ModelError
from studio.manager.conversion.weights_file import Piece, WeightsFile, write_pieces
from studio.manager.disk.safe_files import read_json, readable
from studio.manager.loading import Source, component_class, reason

ORIGIN = "origin.json"  # in a component's folder: a stamp of what it was made from
UNET = "model.diffusion_model."
# What diffusers' conversion knows a component by, where the file holds nothing else.
TOPS = {"UNet2DConditionModel": UNET, "CLIPTextModelWithProjection": "conditioner.embedders.1.model."}
# How a text encoder's tensors begin where they have transformers' names or llama.cpp's, and not OpenCLIP's.
KNOWN_TEXT = ("text_model.", "encoder.block.", "block.", "enc.blk.")
TABLES = Path(__file__).with_name("tensor_names.yaml")  # the names that models were published under
ENDING = re.compile(r"\.(weight|bias|scale)$")
BLOCK = re.compile(r"(?<=\.)\d+(?=\.)")
SWAPPED = "swapped"
T5_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "embed_tokens.weight")
Shapes = Mapping[str, tuple[int, ...]]
FAULTS = (ValueError, KeyError, RuntimeError, AttributeError, TypeError, IndexError)  # of files that do not fit


@dataclass(frozen=True, eq=False)
class ComponentFile(Source):
    """One component to convert: `files` hold it, `folder` is the one to be made, with the configuration in it."""

    prefix: str = ""  # of its tensors' names in the files
    lent: bool = False  # the files are those of a diffusers folder
    precision: Any = None  # torch.dtype
    identity: str = ""  # the name of a square matrix that is the identity where the file leaves it out

    @property
    def bytes(self) -> int:
        """What it will take on disk."""
        return sum(map(math.prod, self.open()[0].values())) * self.precision.itemsize

    def open(self) -> tuple[dict[str, tuple[int, ...]], dict[str, WeightsFile]]:
        """Its tensors' shapes without the prefix that they have in the file, and the open file of each."""
        shapes: dict[str, tuple[int, ...]] = {}
        places: dict[str, WeightsFile] = {}
        for path in self.files:
            file = WeightsFile(path)
            found = file.shapes(self.prefix)
            shapes |= found
            places |= dict.fromkeys(found, file)
        return shapes, places

    def misfit(self, what: str) -> ModelError:
        return ModelError(f"The {self.title} in {readable(self.files[0].name)} {what}")


def convert(component: ComponentFile, wrote: Callable[[int], None]) -> None:
    """Its weights, under the configuration already written; linked where an earlier import made the same."""
    stamp = _stamp(component)  # now: diffusers rewrites the configuration
    if not _linked(component):
        shapes, places = component.open()
        try:
            if (pieces := _pieces(component, shapes)) is None:
                _convert_whole(component, places, wrote)
            else:
                stem = "model" if component.library == "transformers" else "diffusion_pytorch_model"
                write_pieces(
                    component.folder / f"{stem}.safetensors",
                    _fitted(component, pieces, component.empty(component.precision)),
                    lambda key, start, rows: places[key].read(component.prefix + key, start, rows),
                    component.precision,
                    wrote,
                )
        except FAULTS as error:
            raise component.misfit(f"does not fit: {reason(error)}") from error
    (component.folder / ORIGIN).write_text(json.dumps({"stamp": stamp}))


def _pieces(component: ComponentFile, shapes: dict[str, tuple[int, ...]]) -> list[Piece] | None:
    """The tensors to write; None where only diffusers knows how the names and shapes change."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    if component.lent:
        return [Piece(key, shape, key) for key, shape in shapes.items()]
    if any(key.startswith("input_blocks.") for key in shapes):
        # Of CompVis' U-Net this does nothing but rename, so it is given names in place of tensors.
        config = read_json(component.folder / "config.json")
        found = convert_ldm_unet_checkpoint({UNET + key: key for key in shapes}, config)
        return [Piece(name, shapes[key], key) for name, key in found.items() if key is not None]
    if component.library == "transformers" and not any(key.startswith(KNOWN_TEXT) for key in shapes):
        return None
    return pieces_of(component.class_name, shapes)


def _fitted(component: ComponentFile, pieces: list[Piece], module: Any) -> list[Piece]:
    """The pieces that the module has places for, under its names. Raises ModelError for one that is missing or misshapen."""
    known = {piece.name.removeprefix("text_model."): piece for piece in pieces}
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    out, lacking = [], []
    for name, tensor in module.state_dict().items():
        if name in tied:
            continue
        piece = known.get(name.removeprefix("text_model."))
        if piece is None and name == component.identity:
            piece = Piece(name, tuple(tensor.shape), None)
        if piece is None:
            lacking.append(name)
        elif piece.shape != tuple(tensor.shape):
            shapes = f"{list(piece.shape)}, not {list(tensor.shape)}"
            raise component.misfit(f"does not fit: {name} has shape {shapes}.")
        else:
            out.append(replace(piece, name=name))
    if lacking:
        raise component.misfit(f"lacks {len(lacking)} tensors, such as {lacking[0]}.")
    return out


def _convert_whole(component: ComponentFile, places: dict[str, WeightsFile], wrote: Callable[[int], None]) -> None:
    """Through diffusers' own conversion, which needs the component's tensors together."""
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    prefix, dtype = component.prefix, component.precision
    cls = component_class(component.library, component.class_name)
    options = {"config": str(component.folder.parent), "subfolder": component.name, "local_files_only": True}
    options |= {"torch_dtype": dtype}
    top = UNET if component.name == "unet" else prefix or TOPS.get(component.class_name, "")
    tensors = {}
    for key, file in places.items():
        tensor = file.read(prefix + key)
        tensors[top + key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        wrote(tensor.numel() * dtype.itemsize)
    if component.library == "transformers":
        module = create_diffusers_clip_model_from_ldm(cls, tensors, **options)
    else:
        module = cls.from_single_file(tensors, **options)
    empty = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if empty:
        raise component.misfit(f"lacks {len(empty)} tensors, such as {empty[0]}.")
    module.to(dtype).save_pretrained(component.folder, safe_serialization=True)


# ---- names ---------------------------------------------------------------------------------------------------------


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
    tables: dict[str, dict[str, Any]] = yaml.safe_load(TABLES.read_text(encoding="utf-8"))
    return tables


# ---- components that several models share ------------------------------------------------------------------------


def _stamp(component: ComponentFile) -> str:
    """Of all that the converted component depends on."""
    files = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in component.files]
    config = (component.folder / "config.json").read_text()
    made_from = (files, component.prefix, component.class_name, str(component.precision), config)
    return hashlib.sha256(repr(made_from).encode("utf-8", "surrogateescape")).hexdigest()


def twin(component: ComponentFile) -> Path | None:
    """The folder of an import beside this one that made the same component; a text encoder may serve many models."""
    stamp = _stamp(component)
    for origin in sorted(component.folder.parent.parent.glob(f"*/{component.name}/{ORIGIN}")):
        try:
            if read_json(origin).get("stamp") == stamp:
                return origin.parent
        except ModelError:
            continue  # the other is just being removed
    return None


def _linked(component: ComponentFile) -> bool:
    """Link the weights of a twin, if there is one and the disk has links; else they are made again."""
    found = twin(component)
    try:
        for file in found.glob("*.safetensors*") if found else ():
            os.link(file, component.folder / file.name)
    except OSError:
        return False
    return found is not None
