"""Turns a single-file checkpoint into a diffusers folder in the run's dtype, once; from then on it is mapped from disk.

What the file leaves out comes from the family's blueprint, and from other files of the models folders (`companions`).
Where tables of names are known (`naming`) the weights pass through tensor by tensor; else diffusers converts a component
at a time. The folder appears under its name only when complete; the originals are only read.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError, StorageError
from studio.core.models import ModelInfo
from studio.manager.architecture import config_of, schedule_of
from studio.manager.catalog import Catalog
from studio.manager.clip_vocabulary import find_vocabulary, write_tokenizer
from studio.manager.companions import Origin, Shelf, carried, t5_tokenizers, weighty
from studio.manager.families import Blueprint, family_for
from studio.manager.folders import read_json
from studio.manager.headers import read_header
from studio.manager.loading import component_class, empty_component, reason
from studio.manager.naming import TABLES, Piece
from studio.manager.t5_vocabulary import write_t5_tokenizer
from studio.manager.tensors import WeightsFile, write_pieces

Report = Callable[[str, float | None], None]  # what is done, and the share of the bytes that has been written
ORIGIN = "origin.json"  # in a component's folder: a stamp of what it was made from
ROOM = 1.05  # of the weights' own size
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


def import_checkpoint(
    file: Path,
    info: ModelInfo,
    blueprint: Blueprint,
    target: Path,  # the folder to make; if it is there it is done
    dtype: Any,  # torch.dtype
    folders: tuple[Path, ...],  # where what the file lacks may be found
    report: Report = lambda what, fraction: None,
) -> Path:
    """Returns `target`. Raises ModelError for a file that does not fit its family, StorageError if it cannot be written."""
    if (target / "model_index.json").exists():
        return target
    compat.prepare()
    origins = _origins(file, info, blueprint, folders)
    absent = {name for name in weighty(blueprint) if name not in origins}
    vocabulary = find_vocabulary(folders) if blueprint.tokenizers else None
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    tasks = [
        Task(name, *blueprint.parts[name], origins[name], partial, dtype, blueprint.identities.get(name, ""))
        for name in origins
    ]
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write_configs(partial, info, blueprint, origins, absent)
        size = sum(task.bytes for task in tasks if _twin(task) is None)
        _check_space(file, size, target.parent)
        for name, pad in blueprint.tokenizers.items():
            assert vocabulary is not None
            write_tokenizer(partial / name, vocabulary, pad)
        for name in t5_tokenizers(blueprint, absent):
            write_t5_tokenizer(partial / name, folders)
        count = _counter(size, report)
        for task in tasks:
            _convert(task, count(f"converting {task.title}"))
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"{file.name} could not be converted: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _origins(file: Path, info: ModelInfo, blueprint: Blueprint, folders: tuple[Path, ...]) -> dict[str, Origin]:
    """Where each component lies. Raises ModelError with what is nowhere; the other files are looked at only if needed."""
    has = carried(blueprint, read_header(file).tensors)
    needs = tuple(name for name in weighty(blueprint) if name not in has)
    found = {name: Origin((file,), prefix) for name, prefix in has.items()}
    if needs or t5_tokenizers(blueprint, set()):
        catalog = Catalog(folders, None)
        models = [(other, path) for other in catalog.models() if (path := catalog.path(other.id)) is not None]
        shelf = Shelf(models, folders)
        problem = shelf.problem(info.model_copy(update={"needs": needs}))
        if problem:
            raise ModelError(problem)
        found |= shelf.origins(family_for(info, ""), blueprint, needs)
    return {name: found[name] for name in weighty(blueprint) if name in found}


def _check_space(file: Path, size: int, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    need, free = int(size * ROOM), shutil.disk_usage(place).free
    if free < need:
        raise StorageError(
            f"Converting {file.name} needs {need / 2**30:.1f} GiB on disk; {free / 2**30:.1f} GiB are free."
        )


def _counter(size: int, report: Report) -> Callable[[str], Callable[[int], None]]:
    """For each component a function that counts bytes as done and reports their share of all."""
    done = 0

    def count(what: str) -> Callable[[int], None]:
        def wrote(more: int) -> None:
            nonlocal done
            done += more
            report(what, min(done / max(size, 1), 1.0))

        wrote(0)
        return wrote

    return count


def _write_configs(
    folder: Path, info: ModelInfo, blueprint: Blueprint, origins: dict[str, Origin], absent: set[str]
) -> None:
    index: dict[str, Any] = {"_class_name": blueprint.pipeline, **blueprint.arguments}
    left_out = absent | (_all_t5_tokenizers(blueprint) - set(t5_tokenizers(blueprint, absent)))
    for name, (library, class_name) in blueprint.parts.items():
        index[name] = [None, None] if name in left_out else [library, class_name]
        if name in left_out or name in blueprint.tokenizers or name in _all_t5_tokenizers(blueprint):
            continue
        config = _config(name, class_name, info, blueprint, origins)
        key = "architectures" if library == "transformers" else "_class_name"
        config[key] = [class_name] if library == "transformers" else class_name
        (folder / name).mkdir(parents=True, exist_ok=True)
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        (folder / name / file).write_text(json.dumps(config, indent=2))
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def _config(
    name: str, class_name: str, info: ModelInfo, blueprint: Blueprint, origins: dict[str, Origin]
) -> dict[str, Any]:
    """A component's configuration: its lender's own, or the publisher's with what shapes and markers tell of this file."""
    config = dict(blueprint.configs.get(name, {}))
    if name == "scheduler":
        return config | _schedule(info, blueprint, next(iter(origins.items())))
    origin = origins[name]
    if origin.folder:
        return read_json(origin.folder / "config.json")
    if name == "unet" and info.variant == "inpaint":
        config["in_channels"] = 9
    with WeightsFile(origin.files[0]) as file:
        return config | config_of(class_name, file.shapes(origin.prefix))


def _schedule(info: ModelInfo, blueprint: Blueprint, denoiser: tuple[str, Origin]) -> dict[str, Any]:
    """What is known of this file's training: what it predicts, and whether it was trained down to zero signal."""
    name, origin = denoiser
    with WeightsFile(origin.files[0]) as file:
        if info.prediction == "flow_prediction":
            return schedule_of(blueprint.parts[name][1], file.shapes(origin.prefix))
        zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return {"prediction_type": info.prediction} | (zero if "ztsnr" in file.tensors else {})


def _all_t5_tokenizers(blueprint: Blueprint) -> set[str]:
    return {name for name, part in blueprint.parts.items() if part[1] == "T5Tokenizer"}


# ---- weights -----------------------------------------------------------------------------------------------------


def _convert(task: Task, wrote: Callable[[int], None]) -> None:
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
    return task.origin.files[0].name


# ---- components that several models share ------------------------------------------------------------------------


def _stamp(task: Task) -> str:
    """Of all that the converted component depends on."""
    files = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in task.origin.files]
    config = (task.folder / task.name / "config.json").read_text()
    made_from = (files, task.origin.prefix, task.class_name, str(task.dtype), config)
    return hashlib.sha256(repr(made_from).encode("utf-8", "surrogateescape")).hexdigest()


def _twin(task: Task) -> Path | None:
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
    twin = _twin(task)
    if twin is None:
        return False
    try:
        for file in twin.glob("*.safetensors*"):
            os.link(file, task.folder / task.name / file.name)
    except OSError:
        return False
    return True
