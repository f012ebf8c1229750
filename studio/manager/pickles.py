"""Converts a pickle checkpoint to safetensors, when a person has said yes: in a process of its own, with weights only.

The child reads with PyTorch's restricted unpickler (`weights_only=True`), which builds tensors and plain containers and
nothing else; a pickle that names anything more is refused by that name. Nothing of the file is read in this process.
"""

import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

from studio.core.errors import ModelError, StorageError

TIMEOUT = 1800  # seconds
MOST_BYTES = 64 << 30
CONSENT = "Reading a pickle can run code that its author hid in it. Say --trust only if you trust where it came from."


def convert_pickle(source: Path, *, consent: bool) -> Path:
    """`name.ckpt` -> `name.safetensors` beside it, the original untouched. Raises ModelError, StorageError."""
    if not consent:
        raise ModelError(CONSENT)
    target = source.with_suffix(".safetensors")
    if target.exists():
        raise StorageError(f"{target.name} is there already.")
    if not zipfile.is_zipfile(source):
        raise ModelError(f"{source.name} is a pickle of the old kind, which cannot be checked before it is read.")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "studio.manager.unpickle", str(source), str(partial)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=Path(__file__).resolve().parents[2],
            preexec_fn=_limit_child,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        answer = _answer(done.stdout)
        if done.returncode != 0 or "tensors" not in answer:
            raise ModelError(f"{source.name} could not be converted: {answer.get('reason', 'the converter died.')}")
        os.replace(partial, target)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{source.name} could not be converted within {TIMEOUT // 60} minutes.") from None
    except OSError as error:
        raise StorageError(f"{target.name} could not be written: {error.strerror}.") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def _limit_child() -> None:
    """No core dump of what it read, and no file but one of a checkpoint's size."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))


def _answer(text: str) -> dict[str, object]:
    """The child's last line, a JSON object; {} if it said nothing sensible."""
    try:
        value = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return value if isinstance(value, dict) else {}
