"""Converts one component of a checkpoint: its tensors under diffusers' names, in the run's dtype, below a configuration.

Where the names are known (`tensor_names`, or diffusers' own renaming) the weights pass through tensor by tensor; else
diffusers converts the component whole. Does not know what else the model is made of.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.conversion.tensor_names import Piece, pieces_of
from studio.manager.conversion.weights_file import WeightsFile, write_pieces
from studio.manager.disk.companions import Origin
from studio.manager.disk.safe_files import read_json, readable
from studio.manager.loading import component_class, empty_component, reason

ORIGIN = "origin.json"  # in a component's folder: a stamp of what it was made from
UNET = "model.diffusion_model."
# What diffusers' conversion knows a component by, where the file holds nothing else.
TOPS = {"UNet2DConditionModel": UNET, "CLIPTextModelWithProjection": "conditioner.embedders.1.model."}
# How a text encoder's tensors begin where they have transformers' names or llama.cpp's, and not OpenCLIP's.
KNOWN_TEXT = ("text_model.", "encoder.block.", "block.", "enc.blk.")
FAULTS = (ValueError, KeyError, RuntimeError, AttributeError, TypeError, IndexError)  # of files that do not fit


@dataclass(frozen=True)
class ComponentFile:
    """One component to convert: of which class, from where, into which folder."""

    name: str
    library: str
    class_name: str
    origin: Origin
    folder: Path  # of the whole model
    dtype: Any  # torch.dtype
    identity: str = ""  # the name of a square matrix that is the identity where the file leaves it out

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def place(self) -> Path:
        return self.folder / self.name

    @property
    def bytes(self) -> int:
        """What it will take on disk."""
        with ExitStack() as stack:
            return sum(map(math.prod, self.open(stack)[0].values())) * self.dtype.itemsize

    def open(self, stack: ExitStack) -> tuple[dict[str, tuple[int, ...]], dict[str, WeightsFile]]:
        """Its tensors' shapes without the prefix that they have in the file, and the open file of each."""
        shapes: dict[str, tuple[int, ...]] = {}
        places: dict[str, WeightsFile] = {}
        for path in self.origin.files:
            file = stack.enter_context(WeightsFile(path))
            found = file.shapes(self.origin.prefix)
            shapes |= found
            places |= dict.fromkeys(found, file)
        return shapes, places

    def misfit(self, what: str) -> ModelError:
        return ModelError(f"The {self.title} in {readable(self.origin.files[0].name)} {what}")


def convert(component: ComponentFile, wrote: Callable[[int], None]) -> None:
    """Its weights, under the configuration already written; linked where an earlier import made the same."""
    stamp = _stamp(component)  # now: diffusers rewrites the configuration
    if not _linked(component):
        try:
            if not _pass_through(component, wrote):
                _convert_whole(component, wrote)
        except FAULTS as error:
            raise component.misfit(f"does not fit: {reason(error)}") from error
    (component.place / ORIGIN).write_text(json.dumps({"stamp": stamp}))


def _pass_through(component: ComponentFile, wrote: Callable[[int], None]) -> bool:
    """Tensor by tensor, where the names are this library's own or a table knows them; False where neither is so."""
    with ExitStack() as stack:
        shapes, places = component.open(stack)
        pieces = _pieces(component, shapes)
        if pieces is None:
            return False
        module = empty_component(
            component.folder, component.name, component.library, component.class_name, component.dtype
        )
        stem = "model" if component.library == "transformers" else "diffusion_pytorch_model"
        write_pieces(
            component.place / f"{stem}.safetensors",
            _fitted(component, pieces, module),
            lambda key, start, rows: places[key].read(component.origin.prefix + key, start, rows),
            component.dtype,
            wrote,
        )
    return True


def _pieces(component: ComponentFile, shapes: dict[str, tuple[int, ...]]) -> list[Piece] | None:
    if component.origin.folder:
        return [Piece(key, shape, key) for key, shape in shapes.items()]
    if any(key.startswith("input_blocks.") for key in shapes):
        return _renamed_unet(component, shapes)
    if component.library == "transformers" and not any(key.startswith(KNOWN_TEXT) for key in shapes):
        return None
    return pieces_of(component.class_name, shapes)


def _renamed_unet(component: ComponentFile, shapes: dict[str, tuple[int, ...]]) -> list[Piece]:
    """diffusers' conversion of CompVis' U-Net does nothing but rename, so it is given names in place of tensors."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    found = convert_ldm_unet_checkpoint({UNET + key: key for key in shapes}, read_json(component.place / "config.json"))
    return [Piece(name, shapes[key], key) for name, key in found.items() if key is not None]


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


def _convert_whole(component: ComponentFile, read: Callable[[int], None]) -> None:
    """Through diffusers' own conversion, which needs the component's tensors together."""
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    cls = component_class(component.library, component.class_name)
    options = {
        "config": str(component.folder),
        "subfolder": component.name,
        "local_files_only": True,
        "torch_dtype": component.dtype,
    }
    tensors = _tensors(component, read)
    if component.library == "transformers":
        module = create_diffusers_clip_model_from_ldm(cls, tensors, **options)
    else:
        module = cls.from_single_file(tensors, **options)
    empty = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if empty:
        raise component.misfit(f"lacks {len(empty)} tensors, such as {empty[0]}.")
    module.to(component.dtype).save_pretrained(component.place, safe_serialization=True)


def _tensors(component: ComponentFile, read: Callable[[int], None]) -> dict[str, Any]:
    """Its tensors in the run's dtype, under the names that diffusers' conversion expects."""
    prefix, dtype = component.origin.prefix, component.dtype
    top = UNET if component.name == "unet" else prefix or TOPS.get(component.class_name, "")
    out = {}
    with ExitStack() as stack:
        for key, file in component.open(stack)[1].items():
            tensor = file.read(prefix + key)
            out[top + key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
            read(tensor.numel() * dtype.itemsize)
    return out


# ---- components that several models share ------------------------------------------------------------------------


def _stamp(component: ComponentFile) -> str:
    """Of all that the converted component depends on."""
    files = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in component.origin.files]
    config = (component.place / "config.json").read_text()
    made_from = (files, component.origin.prefix, component.class_name, str(component.dtype), config)
    return hashlib.sha256(repr(made_from).encode("utf-8", "surrogateescape")).hexdigest()


def twin(component: ComponentFile) -> Path | None:
    """The folder of an import beside this one that made the same component; a text encoder may serve many models."""
    stamp = _stamp(component)
    for origin in sorted(component.folder.parent.glob(f"*/{component.name}/{ORIGIN}")):
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
            os.link(file, component.place / file.name)
    except OSError:
        return False
    return found is not None
