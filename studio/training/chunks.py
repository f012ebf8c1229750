"""Chunk files: named arrays with captions, written whole or not at all, so that runs may share a folder."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from studio.core.errors import StorageError

CHUNK = 256  # rows a file

Captions = list[list[str]]


def read(folder: Path, number: int) -> tuple[dict[str, np.ndarray], Captions] | None:
    """None if there is no such chunk yet."""
    path = _path(folder, number)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "captions"}
        return arrays, json.loads(str(stored["captions"]))


def write(folder: Path, number: int, arrays: Mapping[str, np.ndarray], captions: Captions) -> None:
    """Raises StorageError."""
    path, buffer = _path(folder, number), io.BytesIO()
    np.savez(buffer, **arrays, captions=np.array(json.dumps(captions)))  # type: ignore[arg-type]
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(buffer.getvalue())
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"The latents could not be kept: {error.strerror}.") from None


def _path(folder: Path, number: int) -> Path:
    return folder / f"chunk-{number:06d}.npz"
