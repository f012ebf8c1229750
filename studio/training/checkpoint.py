"""Writes a training state so that a crash at any moment leaves a whole one behind; reads the newest whole one."""

import os
import re
from pathlib import Path
from typing import Any

import torch

from studio.core.errors import ModelError, StorageError

_NAME = re.compile(r"step-(\d{8})\.pt")


def save(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `state` as of `step`: to a temporary name, synced, renamed, the folder synced; then drop all but `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.pt"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"The checkpoint of step {step} could not be written: {error.strerror}.") from None
    sync(folder)
    for old in paths(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def paths(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first. Interrupted writes are left out."""
    return sorted(p for p in folder.glob("step-*.pt") if _NAME.fullmatch(p.name))


def newest(folder: Path) -> Path | None:
    found = paths(folder)
    return found[-1] if found else None


def load(path: Path) -> dict[str, Any]:
    """Read a state; only tensors and plain values are accepted. Raises ModelError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise ModelError(f"The checkpoint {path.name} cannot be read; an older one may be whole.") from None


def sync(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # not every file system can sync a folder
    finally:
        os.close(handle)
