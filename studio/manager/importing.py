"""Turns a single-file checkpoint into a diffusers folder in the run's dtype, once; from then on it is mapped from disk.

The conversion of names is diffusers' own; what the file leaves out comes from the family's blueprint. One component is
in memory at a time. The folder appears under its name only when complete; the original is only read.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError, StorageError
from studio.core.models import ModelInfo
from studio.manager.clip_vocabulary import find_vocabulary, write_tokenizer
from studio.manager.families import PREFIXES, Blueprint
from studio.manager.headers import read_header
from studio.manager.loading import component_class, reason

Report = Callable[[str, float | None], None]  # what is done, and the share of the file's bytes that has been read


def import_checkpoint(
    file: Path,
    info: ModelInfo,
    blueprint: Blueprint,
    target: Path,  # the folder to make; if it is there it is done
    dtype: Any,  # torch.dtype
    folders: tuple[Path, ...],  # where a tokenizer may be found
    report: Report = lambda what, fraction: None,
) -> Path:
    """Returns `target`. Raises ModelError for a file that does not fit its family, StorageError if it cannot be written."""
    if (target / "model_index.json").exists():
        return target
    vocabulary = find_vocabulary(folders) if blueprint.tokenizers else None
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        _check_space(file, target.parent)
        shutil.rmtree(partial, ignore_errors=True)
        _write_configs(partial, info, blueprint, _markers(file))
        for name, pad in blueprint.tokenizers.items():
            assert vocabulary is not None
            write_tokenizer(partial / name, vocabulary, pad)
        weighty = [name for name in blueprint.parts if name in PREFIXES]
        counted = _counter(file, [PREFIXES[name] for name in weighty], report)
        for name in weighty:
            _convert(file, name, blueprint.parts[name], partial, dtype, counted(f"converting {name.replace('_', ' ')}"))
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(f"{file.name} could not be converted: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _check_space(file: Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    need, free = int(file.stat().st_size * 1.1), shutil.disk_usage(place).free
    if free < need:
        raise StorageError(
            f"Converting {file.name} needs {need / 2**30:.1f} GiB on disk; {free / 2**30:.1f} GiB are free."
        )


def _write_configs(folder: Path, info: ModelInfo, blueprint: Blueprint, markers: frozenset[str]) -> None:
    index: dict[str, Any] = {"_class_name": blueprint.pipeline, **blueprint.arguments}
    for name, (library, class_name) in blueprint.parts.items():
        index[name] = [library, class_name]
        config = dict(blueprint.configs.get(name, {}))
        if name in blueprint.tokenizers:
            continue
        if name == "scheduler":
            config |= {"prediction_type": info.prediction}
            if "ztsnr" in markers:
                config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if name == "unet" and info.variant == "inpaint":
            config["in_channels"] = 9
        key = "architectures" if library == "transformers" else "_class_name"
        config[key] = [class_name] if library == "transformers" else class_name
        (folder / name).mkdir(parents=True, exist_ok=True)
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        (folder / name / file).write_text(json.dumps(config, indent=2))
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def _markers(file: Path) -> frozenset[str]:
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        return frozenset({"v_pred", "ztsnr"} & set(opened.keys()))


def _counter(file: Path, prefixes: list[tuple[str, ...]], report: Report) -> Callable[[str], Callable[[str], None]]:
    """For each component a function that counts a tensor as read and reports which share of all bytes has been."""
    sizes = {key: tensor.bytes for key, tensor in read_header(file).tensors.items()}
    total = sum(size for key, size in sizes.items() for each in prefixes if key.startswith(each)) or 1
    done = 0

    def counted(what: str) -> Callable[[str], None]:
        def read(key: str) -> None:
            nonlocal done
            done += sizes[key]
            report(what, min(done / total, 1.0))

        report(what, min(done / total, 1.0))
        return read

    return counted


def _convert(
    file: Path, name: str, part: tuple[str, str], folder: Path, dtype: Any, count: Callable[[str], None]
) -> None:
    """Read one component's tensors, rename them, and save them under the configuration already written."""
    compat.prepare()
    from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm

    cls = component_class(*part)
    tensors = {}
    for key, tensor in _tensors(file, PREFIXES[name]):
        tensors[key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        count(key)
    options = {"config": str(folder), "subfolder": name, "local_files_only": True, "torch_dtype": dtype}
    try:
        if part[0] == "transformers":
            module = create_diffusers_clip_model_from_ldm(cls, tensors, **options)
        else:
            module = cls.from_single_file(tensors, **options)
    except (ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(f"The {name.replace('_', ' ')} in {file.name} does not fit: {reason(error)}") from error
    empty = [key for key, tensor in module.state_dict().items() if tensor.is_meta]
    if empty:
        raise ModelError(f"The {name.replace('_', ' ')} in {file.name} lacks {len(empty)} tensors, such as {empty[0]}.")
    module.to(dtype).save_pretrained(folder / name, safe_serialization=True)


def _tensors(file: Path, prefixes: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        for key in opened.keys():  # noqa: SIM118 (not a dict)
            if key.startswith(prefixes):
                yield key, opened.get_tensor(key)
