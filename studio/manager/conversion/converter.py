"""Turns a single-file checkpoint into a diffusers folder in the run's dtype, in a process of its own.

`python -m studio.manager.conversion.converter` reads what to do from standard input, pickled by `imports`, which alone
starts it, and writes its progress to standard output, a JSON object a line, at last either "done" or a "problem". It runs
at a low priority, and ends at once when the process that started it does.

What the file leaves out comes from the family's blueprint, and from the other files that the conversion names. The folder
appears under its name only when complete; the originals are only read.
"""

import contextlib
import json
import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError, StorageError, StudioError
from studio.core.models import ModelInfo
from studio.manager.conversion.component import ComponentFile, convert, twin
from studio.manager.conversion.converted_folders import (
    NOTE,
    Conversion,
    blueprint_of,
    check_room,
    claimed,
    sweep_claimed,
)
from studio.manager.conversion.weights_file import WeightsFile
from studio.manager.disk.companions import Origin, carried, t5_tokenizers, weighty
from studio.manager.disk.headers import read_header
from studio.manager.disk.safe_files import read_json
from studio.manager.disk.tokenizers import find_vocabulary, write_t5_tokenizer, write_tokenizer
from studio.manager.families import Blueprint
from studio.manager.families.blueprints import config_of, schedule_of

ROOM = 1.05  # of the weights' own size
TICK = 0.2  # seconds between two reports of progress
NICE = 10
LIKELY_VICTIM = "500"  # where memory runs out the system takes this process, not the one that makes images

# ---- the process ---------------------------------------------------------------------------------------------------


def main() -> int:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints from now on goes to standard error
    sys.stdout = sys.stderr

    def emit(**words: Any) -> None:
        try:
            print(json.dumps(words), file=output, flush=True)
        except OSError:
            os._exit(1)  # nobody listens any more

    conversion, folders = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(NICE)
        Path("/proc/self/oom_score_adj").write_text(LIKELY_VICTIM)
    outcome = carry_out(conversion, folders, emit)
    emit(**outcome)
    return 1 if "problem" in outcome else 0


def _end_with_parent() -> None:
    """The parent holds the other end of standard input; when it is gone, so is the reason to go on."""
    while sys.stdin.read(1):
        pass
    os._exit(1)


def carry_out(conversion: Conversion, folders: tuple[Path, ...], emit: Callable[..., None]) -> dict[str, Any]:
    """Make the folder, unless another process made it meanwhile; returns how that ended. `emit` is called with `what` is
    done and its `fraction`."""
    place = conversion.target.parent
    try:
        emit(what="waiting for another conversion", fraction=None)
        with claimed(place, wait=True):
            if not conversion.complete:
                sweep_claimed(place)  # there may be no room otherwise
                emit(what="starting the converter", fraction=0.0)
                import_checkpoint(conversion, folders, emit)
                if not conversion.current:
                    shutil.rmtree(conversion.target, ignore_errors=True)
                    changed = "was changed while it was converted; nothing was kept. Try again"
                    raise ModelError(f"{conversion.name} {changed}.")
                sweep_claimed(place, conversion)
    except Exception as error:
        problem = _explained(conversion, error)
        return {"problem": str(problem), "storage": isinstance(problem, StorageError)}
    return {"done": True}


def _explained(conversion: Conversion, error: Exception) -> StudioError:
    """The error as a sentence for a person."""
    name, text = conversion.name, str(error)
    if not conversion.file.exists():
        return ModelError(f"{name} was deleted while it was converted; nothing was kept.")
    if isinstance(error, StudioError):
        return error
    if isinstance(error, OSError):
        return StorageError(f"{name} could not be converted: {error.strerror or type(error).__name__}.")
    if isinstance(error, MemoryError):
        return ModelError(f"There is not enough memory to convert {name}.")
    if type(error).__name__ == "SafetensorError":  # it raises this for a full disk too
        if any(words in text for words in ("No space left", "os error 28", "os error 27")):
            return StorageError(f"The disk is full: {name} could not be converted. Free some space.")
        return ModelError(f"{name} could not be read; it may be damaged.")
    traceback.print_exception(error)
    return ModelError(f"{name} could not be converted ({type(error).__name__}); the log says more.")


# ---- what it makes -------------------------------------------------------------------------------------------------


class Progress:
    """How far a conversion of `size` bytes is: another kind of work at once, else a few times a second."""

    def __init__(self, emit: Callable[..., None], size: int):
        self._size, self._done, self._emit, self._last, self._at = max(size, 1), 0, emit, "", 0.0

    def add(self, what: str, done: int) -> None:
        self._done += done
        if what != self._last or time.monotonic() - self._at >= TICK:
            self._last, self._at = what, time.monotonic()
            self._emit(what=what, fraction=round(min(self._done / self._size, 1.0), 3))


def import_checkpoint(
    conversion: Conversion,
    folders: tuple[Path, ...],  # where tokenizers may be found
    emit: Callable[..., None] = lambda **words: None,
) -> None:
    """Makes the folder. Raises ModelError for a file that does not fit its family, StorageError if it cannot be written."""
    blueprint, made = blueprint_of(conversion.info), conversion.unfinished
    has = carried(blueprint, read_header(conversion.file).tensors)  # a file that is gone or cut short needs no torch
    compat.prepare()
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[conversion.dtype]
    found = {name: Origin((conversion.file,), prefix) for name, prefix in has.items()} | dict(conversion.beside)
    origins = {name: found[name] for name in weighty(blueprint) if name in found}
    components = [
        ComponentFile(
            name,
            *blueprint.parts[name],
            made / name,
            origin.files,
            prefix=origin.prefix,
            lent=origin.folder is not None,
            precision=dtype,
            identity=blueprint.identities.get(name, ""),
        )
        for name, origin in origins.items()
    ]
    try:
        shutil.rmtree(made, ignore_errors=True)
        _write_configs(made, conversion.info, blueprint, origins, folders)
        size = sum(component.bytes for component in components if twin(component) is None)
        check_room(conversion.file, int(size * ROOM), made.parent)
        progress = Progress(emit, size)
        for component in components:
            wrote = partial(progress.add, f"converting {component.title}")
            wrote(0)
            convert(component, wrote)
        (made / NOTE).write_text(json.dumps(conversion.note()))
        os.replace(made, conversion.target)
    except OSError as error:
        raise StorageError(f"{conversion.name} could not be converted: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write_configs(
    folder: Path, info: ModelInfo, blueprint: Blueprint, origins: dict[str, Origin], folders: tuple[Path, ...]
) -> None:
    """All but the weights: configurations, tokenizers, the index of the model."""
    absent = {name for name in weighty(blueprint) if name not in origins}
    t5 = t5_tokenizers(blueprint, absent)
    index: dict[str, Any] = {"_class_name": blueprint.pipeline, **blueprint.arguments}
    for name, (library, class_name) in blueprint.parts.items():
        if name in absent or (class_name == "T5Tokenizer" and name not in t5):
            index[name] = [None, None]
            continue
        index[name] = [library, class_name]
        if name in t5:
            write_t5_tokenizer(folder / name, folders)
        elif name in blueprint.tokenizers:
            write_tokenizer(folder / name, find_vocabulary(folders), blueprint.tokenizers[name])
        else:
            config = _config(name, class_name, info, blueprint, origins)
            named = {"architectures": [class_name]} if library == "transformers" else {"_class_name": class_name}
            (folder / name).mkdir(parents=True, exist_ok=True)
            file = "scheduler_config.json" if name == "scheduler" else "config.json"
            (folder / name / file).write_text(json.dumps(config | named, indent=2))
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def _config(
    name: str, class_name: str, info: ModelInfo, blueprint: Blueprint, origins: dict[str, Origin]
) -> dict[str, Any]:
    """A component's configuration: that of the folder that lends it, or the publisher's with what the file says of itself."""
    config = dict(blueprint.configs.get(name, {}))
    if name != "scheduler":
        origin = origins[name]
        if origin.folder:
            return read_json(origin.folder / "config.json")
        if name == "unet" and info.variant == "inpaint":
            config["in_channels"] = 9
        return config | config_of(class_name, WeightsFile(origin.files[0]).shapes(origin.prefix))
    # What its denoiser was trained to predict, and whether down to zero signal.
    denoiser, origin = next(iter(origins.items()))
    file, prediction = WeightsFile(origin.files[0]), info.capabilities.prediction
    if prediction == "flow_prediction":
        return config | schedule_of(blueprint.parts[denoiser][1], file.shapes(origin.prefix))
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in file.tensors else {}
    return config | {"prediction_type": prediction} | zero


if __name__ == "__main__":
    sys.exit(main())
