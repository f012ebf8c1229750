"""The process that converts one file: `python -m studio.manager.import_child`, told on its standard input what to do.

Only ever started by `imports`. It says how far it is on standard output, a JSON object a line, and last either "done" or
a "problem". It yields to everybody else on the machine, and ends at once when the process that started it does.
"""

import contextlib
import json
import math
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

from studio import compat
from studio.core.errors import ModelError, StorageError, StudioError
from studio.core.models import ModelInfo
from studio.manager.families import PREFIXES
from studio.manager.headers import read_header
from studio.manager.imported import (
    PARTIAL,
    Conversion,
    blueprint_of,
    claimed,
    discard_partial,
    sweep_claimed,
    write_note,
)

TICK = 0.2  # seconds between two words on progress
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
NICE = 10
LIKELY_VICTIM = "500"  # where memory runs out the system takes this process, not the one that makes images


def main() -> int:
    told = _own_standard_output()
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    _step_back()
    conversion = Conversion(
        ModelInfo.model_validate(task["info"]), Path(task["file"]), task["dtype"], Path(task["target"])
    )
    try:
        convert(conversion, tuple(map(Path, task["folders"])), told)
    except StudioError as error:
        return _say(told, problem=str(error), storage=isinstance(error, StorageError))
    except OSError as error:
        problem = f"{conversion.file.name} could not be converted: {error.strerror or type(error).__name__}."
        return _say(told, problem=problem, storage=True)
    except MemoryError:
        return _say(told, problem=f"There is not enough memory to convert {conversion.file.name}.")
    except Exception as error:
        traceback.print_exc()
        problem = f"{conversion.file.name} could not be converted ({type(error).__name__}); the log says more."
        return _say(told, problem=problem)
    return _say(told, done=True)


def convert(conversion: Conversion, folders: tuple[Path, ...], told: TextIO) -> None:
    """Make the folder, unless another process did while this one waited for its turn."""
    _say(told, what="waiting for another conversion", fraction=None)
    with claimed(conversion.target.parent, wait=True):
        if conversion.complete:
            return
        sweep_claimed(conversion.target.parent)
        _say(told, what="starting the converter", fraction=0.0)
        write_note(conversion)
        try:
            with Ticker(conversion, told) as ticker:
                _convert(conversion, folders, ticker)
        finally:
            discard_partial(conversion)
        if not conversion.current:
            shutil.rmtree(conversion.target, ignore_errors=True)
            discard_partial(conversion)
            raise ModelError(f"{conversion.file.name} was changed while it was converted; nothing was kept. Try again.")


def _convert(conversion: Conversion, folders: tuple[Path, ...], ticker: "Ticker") -> None:
    compat.prepare()
    import torch
    from safetensors import SafetensorError

    from studio.manager.importing import import_checkpoint

    torch.set_num_threads(1)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[conversion.dtype]
    try:
        import_checkpoint(
            conversion.file,
            conversion.info,
            blueprint_of(conversion.info),
            conversion.target,
            dtype,
            folders,
            ticker.report,
        )
    except (SafetensorError, FileNotFoundError, ModelError) as error:
        if not conversion.file.exists():
            gone = f"{conversion.file.name} was deleted while it was converted; nothing was kept."
            raise ModelError(gone) from error
        if isinstance(error, SafetensorError):
            raise _explained(conversion, error) from error
        raise


def _explained(conversion: Conversion, error: Exception) -> StudioError:
    """safetensors tells of a full disk in an error of its own."""
    text = str(error)
    if "No space left" in text or "os error 28" in text or "os error 27" in text:
        return StorageError(f"The disk is full: {conversion.file.name} could not be converted. Free some space.")
    return ModelError(f"{conversion.file.name} could not be read; it may be damaged.")


class Ticker:
    """Says now and then how far a conversion is: half of it is reading the file, half is writing the folder."""

    def __init__(self, conversion: Conversion, told: TextIO):
        self._conversion, self._told = conversion, told
        self._what, self._read, self._said = "starting the converter", 0.0, 0.0
        self._expected = _expected_bytes(conversion)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def __enter__(self) -> "Ticker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def report(self, what: str, fraction: float | None) -> None:
        self._what, self._read = what, fraction if fraction is not None else self._read

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            written = min(_written(self._conversion.target) / self._expected, 1.0)
            self._said = max(self._said, round((self._read + written) / 2, 3))
            _say(self._told, what=self._what, fraction=min(self._said, 0.99))


def _expected_bytes(conversion: Conversion) -> int:
    """What the folder will take on disk, from the file's header."""
    try:
        tensors = read_header(conversion.file).tensors
    except ModelError:
        return 1  # the conversion is about to say why
    prefixes = tuple(prefix for name in blueprint_of(conversion.info).parts for prefix in PREFIXES.get(name, ()))
    kept = [tensor for key, tensor in tensors.items() if key.startswith(prefixes)]
    return max(sum(math.prod(tensor.shape) for tensor in kept) * BYTES[conversion.dtype], 1)


def _written(target: Path) -> int:
    """Bytes on disk so far. A file has its full length from the start, so its blocks are counted."""
    size = 0
    for partial in target.parent.glob(f"*{PARTIAL}{os.getpid()}"):
        for folder, _, names in os.walk(partial):
            for name in names:
                with contextlib.suppress(OSError):
                    stat = os.stat(os.path.join(folder, name))
                    size += getattr(stat, "st_blocks", stat.st_size // 512) * 512
    return size


def _say(told: TextIO, **words: Any) -> int:
    """The exit status that goes with what is said: 1 for a problem."""
    try:
        told.write(json.dumps(words) + "\n")
        told.flush()
    except OSError:
        os._exit(1)  # nobody listens any more
    return 1 if "problem" in words else 0


def _own_standard_output() -> TextIO:
    """Whatever a library prints from now on goes to standard error."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return told


def _end_with_parent() -> None:
    """The parent holds the other end of standard input; when it is gone, so is the reason to go on."""
    while sys.stdin.read(1):
        pass
    os._exit(1)


def _step_back() -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(LIKELY_VICTIM)


if __name__ == "__main__":
    sys.exit(main())
