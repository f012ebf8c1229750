"""Turns a single-file checkpoint into a diffusers folder in the run's dtype, once; from then on it is mapped from disk.

What the file leaves out comes from the family's blueprint, and from other files of the models folders (`companions`).
One component is converted at a time (`conversion`). The folder appears under its name only when complete; the originals are
only read.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError, StorageError
from studio.core.models import ModelInfo
from studio.manager.conversion.parts import Task, convert, twin
from studio.manager.conversion.tensors import WeightsFile
from studio.manager.disk.architecture import config_of, schedule_of
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.clip_vocabulary import find_vocabulary, write_tokenizer
from studio.manager.disk.companions import Origin, Shelf, carried, files_of, t5_tokenizers, weighty
from studio.manager.disk.folders import read_json
from studio.manager.disk.headers import read_header, readable
from studio.manager.disk.t5_vocabulary import write_t5_tokenizer
from studio.manager.families import Blueprint, family_for

Report = Callable[[str, float | None], None]  # what is done, and the share of the bytes that has been written
ROOM = 1.05  # of the weights' own size


def import_checkpoint(
    file: Path,
    info: ModelInfo,
    blueprint: Blueprint,
    target: Path,  # the folder to make; if it is there it is done
    dtype: Any,  # torch.dtype
    folders: tuple[Path, ...],  # where what the file lacks may be found
    report: Report = lambda what, fraction: None,
    beside: tuple[Path, ...] | None = None,  # the files of other models that are expected to take part; None: any
) -> Path:
    """Returns `target`. Raises ModelError for a file that does not fit its family, StorageError if it cannot be written."""
    if (target / "model_index.json").exists():
        return target
    compat.prepare()
    origins = _origins(file, info, blueprint, folders)
    others = files_of({name: origin for name, origin in origins.items() if origin.files != (file,)})
    if beside is not None and tuple(other.absolute() for other in others) != beside:
        raise ModelError(f"The files beside {readable(file.name)} that complete it have changed meanwhile. Try again.")
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
        size = sum(task.bytes for task in tasks if twin(task) is None)
        _check_space(file, size, target.parent)
        for name, pad in blueprint.tokenizers.items():
            assert vocabulary is not None
            write_tokenizer(partial / name, vocabulary, pad)
        for name in t5_tokenizers(blueprint, absent):
            write_t5_tokenizer(partial / name, folders)
        count = _counter(size, report)
        for task in tasks:
            convert(task, count(f"converting {task.title}"))
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"{readable(file.name)} could not be converted: {error.strerror or error}.") from None
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
        found |= shelf.origins(family_for(info), blueprint, needs)
    return {name: found[name] for name in weighty(blueprint) if name in found}


def _check_space(file: Path, size: int, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    need, free = int(size * ROOM), shutil.disk_usage(place).free
    if free < need:
        raise StorageError(
            f"Converting {readable(file.name)} needs {need / 2**30:.1f} GiB on disk; {free / 2**30:.1f} GiB are free."
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
        if info.capabilities.prediction == "flow_prediction":
            return schedule_of(blueprint.parts[name][1], file.shapes(origin.prefix))
        zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return {"prediction_type": info.capabilities.prediction} | (zero if "ztsnr" in file.tensors else {})


def _all_t5_tokenizers(blueprint: Blueprint) -> set[str]:
    return {name for name, part in blueprint.parts.items() if part[1] == "T5Tokenizer"}
