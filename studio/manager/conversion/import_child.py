"""The process that converts one file: `python -m studio.manager.conversion.import_child`, told on its standard input what to do.

Only ever started by `imports`. It says how far it is on standard output, a JSON object a line, and last either "done" or
a "problem". It yields to everybody else on the machine, and ends at once when the process that started it does.
"""

import contextlib
import json
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
from studio.manager.conversion.imported import (
    Conversion,
    blueprint_of,
    claimed,
    discard_partial,
    sweep_claimed,
    sweep_replaced,
    write_note,
)

TICK = 0.2  # seconds between two words on progress
NICE = 10
LIKELY_VICTIM = "500"  # where memory runs out the system takes this process, not the one that makes images


def main() -> int:
    told = _own_standard_output()
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    _step_back()
    conversion = Conversion(
        ModelInfo.model_validate(task["info"]),
        Path(task["file"]),
        task["dtype"],
        Path(task["target"]),
        tuple(map(Path, task["beside"])),
    )
    words = carry_out(conversion, tuple(map(Path, task["folders"])), told)
    _say(told, **words)
    return 1 if "problem" in words else 0


def carry_out(conversion: Conversion, folders: tuple[Path, ...], told: TextIO) -> dict[str, Any]:
    """Convert, and put how it ended into the last words."""
    name = conversion.name
    try:
        convert(conversion, folders, told)
    except StudioError as error:
        return {"problem": str(error), "storage": isinstance(error, StorageError)}
    except OSError as error:
        why = error.strerror or type(error).__name__
        return {"problem": f"{name} could not be converted: {why}.", "storage": True}
    except MemoryError:
        return {"problem": f"There is not enough memory to convert {name}."}
    except Exception as error:
        traceback.print_exc()
        return {"problem": f"{name} could not be converted ({type(error).__name__}); the log says more."}
    return {"done": True}


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
            with Ticker(told) as ticker:
                _convert(conversion, folders, ticker)
        finally:
            discard_partial(conversion)
        if not conversion.current:
            shutil.rmtree(conversion.target, ignore_errors=True)
            discard_partial(conversion)
            raise ModelError(f"{conversion.name} was changed while it was converted; nothing was kept. Try again.")
        sweep_replaced(conversion)


def _convert(conversion: Conversion, folders: tuple[Path, ...], ticker: "Ticker") -> None:
    compat.prepare()
    import torch
    from safetensors import SafetensorError

    from studio.manager.conversion.importing import import_checkpoint

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
            conversion.beside,
        )
    except (SafetensorError, FileNotFoundError, ModelError) as error:
        if not conversion.file.exists():
            gone = f"{conversion.name} was deleted while it was converted; nothing was kept."
            raise ModelError(gone) from error
        if isinstance(error, SafetensorError):
            raise _explained(conversion, error) from error
        raise


def _explained(conversion: Conversion, error: Exception) -> StudioError:
    """safetensors tells of a full disk in an error of its own."""
    text = str(error)
    if "No space left" in text or "os error 28" in text or "os error 27" in text:
        return StorageError(f"The disk is full: {conversion.name} could not be converted. Free some space.")
    return ModelError(f"{conversion.name} could not be read; it may be damaged.")


class Ticker:
    """Says now and then how far the conversion is: it is told of every tensor, which is more than anybody wants to hear."""

    def __init__(self, told: TextIO):
        self._told = told
        self._what, self._fraction = "starting the converter", 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def __enter__(self) -> "Ticker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def report(self, what: str, fraction: float | None) -> None:
        self._what, self._fraction = what, max(self._fraction, fraction or 0.0)

    def _tick(self) -> None:
        said = None
        while not self._over.wait(TICK):
            words = {"what": self._what, "fraction": round(self._fraction, 3)}
            if words != said:
                said = words
                _say(self._told, **words)


def _say(told: TextIO, **words: Any) -> None:
    try:
        told.write(json.dumps(words) + "\n")
        told.flush()
    except OSError:
        os._exit(1)  # nobody listens any more


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
