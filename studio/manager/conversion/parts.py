"""Converts one component of a checkpoint: its tensors under diffusers' names, in the run's dtype, below a configuration.

Where the names are known (`naming`, or diffusers' own renaming) the weights pass through tensor by tensor; else diffusers
converts the component whole. Knows nothing of what else a model is made of; that is `importing`'s.
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
from studio.manager.conversion.naming import TABLES, Piece
from studio.manager.conversion.tensors import WeightsFile, write_pieces
from studio.manager.disk.companions import Origin
from studio.manager.disk.folders import read_json
from studio.manager.disk.headers import read_header, readable
from studio.manager.loading import component_class, empty_component, reason

ORIGIN = "origin.json"  # in a component's folder: a stamp of what it was made from
# What diffusers' conversion knows a component by, where the file holds nothing else.
TOPS = {
    "UNet2DConditionModel": "model.diffusion_model.",
    "CLIPTextModelWithProjection": "conditioner.embedders.1.model.",
}


@dataclass(frozen=True)
class Task:
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
    def weights(self) -> Path:
        stem = "model" if self.library == "transformers" else "diffusion_pytorch_model"
        return self.folder / self.name / f"{stem}.safetensors"

    @property
    def bytes(self) -> int:
        """What it will take on disk."""
        headers = [read_header(file).tensors for file in self.origin.files]
        tensors = [t for header in headers for key, t in header.items() if key.startswith(self.origin.prefix)]
        return sum(math.prod(tensor.shape) for tensor in tensors) * self.dtype.itemsize


def convert(task: Task, wrote: Callable[[int], None]) -> None:
    """One component's weights, under the configuration already written; taken over where an earlier import made the same."""
    stamp = _stamp(task)  # now: diffusers rewrites the configuration
    if not _taken_over(task):
        try:
            if not _pass_through(task, wrote):
                _convert_whole(task, wrote)
        except (ValueError, KeyError, RuntimeError, AttributeError, TypeError, IndexError) as error:
            raise ModelError(f"The {task.title} in {_file(task)} does not fit: {reason(error)}") from error
    (task.folder / task.name / ORIGIN).write_text(json.dumps({"stamp": stamp}))


def _pass_through(task: Task, wrote: Callable[[int], None]) -> bool:
    """Tensor by tensor, where the names are this library's own or a table knows them; False where neither is so."""
    with ExitStack() as stack:
        opened = [stack.enter_context(WeightsFile(file)) for file in task.origin.files]
        place = {key: file for file in opened for key in file.tensors}
        shapes = {key: shape for file in opened for key, shape in file.shapes(task.origin.prefix).items()}
        pieces = _pieces(task, shapes)
        if pieces is None:
            return False
        module = empty_component(task.folder, task.name, task.library, task.class_name, task.dtype)

        def read(source: str, start: int, rows: int) -> Any:
            key = task.origin.prefix + source
            return place[key].read(key, start, rows)

        write_pieces(task.weights, _fitted(task, pieces, module), read, task.dtype, wrote)
    return True


def _pieces(task: Task, shapes: dict[str, tuple[int, ...]]) -> list[Piece] | None:
    if task.origin.folder:
        return [Piece(key, shape, key) for key, shape in shapes.items()]
    if any(key.startswith("input_blocks.") for key in shapes):
        return _renamed_unet(task, shapes)
    words = ("text_model.", "encoder.block.", "block.", "enc.blk.")
    ours = task.library == "diffusers" or any(key.startswith(words) for key in shapes)
    table = TABLES.get(task.class_name)
    return table(shapes) if table and ours else None


def _renamed_unet(task: Task, shapes: dict[str, tuple[int, ...]]) -> list[Piece]:
    """diffusers' conversion of CompVis' U-Net does nothing but rename, so it is handed names in place of tensors."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = read_json(task.folder / task.name / "config.json")
    found = convert_ldm_unet_checkpoint({TOPS["UNet2DConditionModel"] + key: key for key in shapes}, config)
    return [Piece(name, shapes[key], key) for name, key in found.items() if key is not None]


def _fitted(task: Task, pieces: list[Piece], module: Any) -> list[Piece]:
    """The pieces that the module has places for, under its names. Raises ModelError for one that is missing or misshapen."""
    known = {piece.name.removeprefix("text_model."): piece for piece in pieces}
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    out, lacking = [], []
    for name, tensor in module.state_dict().items():
        piece = known.get(name.removeprefix("text_model."))
        if piece is None and name == task.identity:
            piece = Piece(name, tuple(tensor.shape), None)
        if piece is None and name not in tied:
            lacking.append(name)
        elif piece is not None and name not in tied and piece.shape != tuple(tensor.shape):
            raise ModelError(
                f"The {task.title} in {_file(task)} does not fit: {name} has shape {list(piece.shape)}, not "
                f"{list(tensor.shape)}."
            )
        elif piece is not None and name not in tied:
            out.append(replace(piece, name=name))
    if lacking:
        raise ModelError(f"The {task.title} in {_file(task)} lacks {len(lacking)} tensors, such as {lacking[0]}.")
    return out


def _convert_whole(task: Task, wrote: Callable[[int], None]) -> None:
    """Through diffusers' own conversion, which wants the component's tensors together."""
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    cls = component_class(task.library, task.class_name)
    options = {"config": str(task.folder), "subfolder": task.name, "local_files_only": True, "torch_dtype": task.dtype}
    tensors = _tensors(task, wrote)
    if task.library == "transformers":
        module = create_diffusers_clip_model_from_ldm(cls, tensors, **options)
    else:
        module = cls.from_single_file(tensors, **options)
    empty = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if empty:
        raise ModelError(f"The {task.title} in {_file(task)} lacks {len(empty)} tensors, such as {empty[0]}.")
    module.to(task.dtype).save_pretrained(task.folder / task.name, safe_serialization=True)


def _tensors(task: Task, read: Callable[[int], None]) -> dict[str, Any]:
    """The component's tensors in the run's dtype, under the names that diffusers' conversion expects."""
    prefix = task.origin.prefix
    top = prefix or TOPS.get(task.class_name, "")
    top = TOPS["UNet2DConditionModel"] if task.name == "unet" else top
    out = {}
    for path in task.origin.files:
        with WeightsFile(path) as file:
            for key in file.tensors:
                if key.startswith(prefix):
                    tensor = file.read(key)
                    out[top + key.removeprefix(prefix)] = (
                        tensor.to(task.dtype) if tensor.is_floating_point() else tensor
                    )
                    read(tensor.numel() * task.dtype.itemsize)
    return out


def _file(task: Task) -> str:
    return readable(task.origin.files[0].name)


# ---- components that several models share ------------------------------------------------------------------------


def _stamp(task: Task) -> str:
    """Of all that the converted component depends on."""
    files = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in task.origin.files]
    config = (task.folder / task.name / "config.json").read_text()
    made_from = (files, task.origin.prefix, task.class_name, str(task.dtype), config)
    return hashlib.sha256(repr(made_from).encode("utf-8", "surrogateescape")).hexdigest()


def twin(task: Task) -> Path | None:
    """The folder of an import beside this one that made the same component; a text encoder may serve many models."""
    stamp = _stamp(task)
    for origin in sorted(task.folder.parent.glob(f"*/{task.name}/{ORIGIN}")):
        try:
            if read_json(origin).get("stamp") == stamp:
                return origin.parent
        except ModelError:
            continue  # the other is just being removed
    return None


def _taken_over(task: Task) -> bool:
    """Link the weights of a twin, if there is one and the disk knows links; else they are made again."""
    found = twin(task)
    if found is None:
        return False
    try:
        for file in found.glob("*.safetensors*"):
            os.link(file, task.folder / task.name / file.name)
    except OSError:
        return False
    return True
