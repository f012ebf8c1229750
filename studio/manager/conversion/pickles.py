"""Converts a pickle checkpoint to safetensors, when a person has said yes: in a process of its own, with weights only.

The child reads with PyTorch's restricted unpickler (`weights_only=True`), which builds tensors and plain containers and
nothing else; a pickle that names anything more is refused by that name. Nothing of the file is read in this process.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from studio.core.errors import ModelError, StorageError
from studio.manager.disk.folder_parts import size_of
from studio.manager.disk.headers import PickleFile, read_header, readable, zipped

TIMEOUT = 1800  # seconds
MOST_BYTES = 64 << 30
SPARE = 4 << 30  # bytes of memory for PyTorch itself
CONSENT = "Reading a pickle can run code that its author hid in it. Say --trust only if you trust where it came from."


def convert_pickle(source: Path, *, consent: bool) -> Path:
    """`name.ckpt` -> `name.safetensors` beside it, the original untouched. Raises ModelError, StorageError."""
    if not consent:
        raise ModelError(CONSENT)
    disguised = source.suffix.lower() in (".safetensors", ".sft")
    target = source.with_suffix(".converted.safetensors" if disguised else ".safetensors")
    if target.exists():
        raise StorageError(f"{readable(target.name)} is there already.")
    _check_kind(source)
    _check_place(source)
    unfinished = target.with_name(f".{os.getpid()}.partial")
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "studio.manager.conversion.unpickle",
                str(source.absolute()),
                str(unfinished.absolute()),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=Path(__file__).resolve().parents[3],
            preexec_fn=partial(_limit_child, 3 * size_of(source) + SPARE),
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        answer = _answer(done.stdout)
        if done.returncode != 0 or "tensors" not in answer:
            reason = answer.get("reason", "the converter died, perhaps for want of memory.")
            raise ModelError(f"{readable(source.name)} could not be converted: {reason}")
        os.replace(unfinished, target)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{readable(source.name)} could not be converted within {TIMEOUT // 60} minutes.") from None
    except OSError as error:
        raise StorageError(f"{readable(target.name)} could not be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _check_kind(source: Path) -> None:
    """Refuse what is no pickle of PyTorch's zip format, by its first bytes. Raises ModelError."""
    try:
        read_header(source)
    except PickleFile as error:
        if not zipped(source):
            raise ModelError(f"{readable(source.name)}: {error}") from None
    else:
        raise ModelError(f"{readable(source.name)} is no pickle; it can be used as it is.")


def _check_place(source: Path) -> None:
    """Refuse where the copy cannot be written, before anything is read. Raises StorageError."""
    if not os.access(source.parent, os.W_OK):
        raise StorageError(
            f"{readable(source.name)} cannot be converted where it lies: its folder may not be written to."
        )
    free = shutil.disk_usage(source.parent).free
    if free < size_of(source):
        need = size_of(source) / 2**30
        raise StorageError(
            f"Converting {readable(source.name)} needs {need:.1f} GiB on disk; {free / 2**30:.1f} GiB are free."
        )


def _limit_child(most: int) -> None:
    """No core dump of what it read, no file but one of a checkpoint's size, no more memory than a checkpoint takes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _answer(text: str) -> dict[str, object]:
    """The child's last line, a JSON object; {} if it said nothing sensible."""
    try:
        value = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return value if isinstance(value, dict) else {}
