"""Rows of named arrays with captions, made once, kept in chunk files that runs share.

A chunk is a function of its number and the key alone, so a resumed run reads the same numbers. Independent of what the
arrays are.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import StorageError

CHUNK = 256  # rows a file

Captions = list[list[str]]
Arrays = dict[str, np.ndarray]


class Rows:
    """Rows 0, 1, 2, ... of arrays and captions; `grow` makes them as they are needed, by `make(range)`."""

    def __init__(self, folder: Path, key: Any, make: Callable[[range], tuple[Arrays, Captions]]):
        text = json.dumps(key, sort_keys=True)
        self.folder, self.make = folder / hashlib.sha256(text.encode()).hexdigest()[:16], make
        self.arrays: Arrays = {}  # name -> [rows, ...]
        self.captions: Captions = []

    def __len__(self) -> int:
        return len(self.captions)

    def grow(self, rows: int) -> None:
        """Load or make rows until at least `rows` are in memory."""
        chunks = [self.arrays] if len(self) else []
        while len(self) < rows:
            arrays, captions = self._chunk(len(self) // CHUNK)
            chunks.append(arrays)
            self.captions += captions
        if len(chunks) > 1 or not self.arrays:
            self.arrays = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _chunk(self, number: int) -> tuple[Arrays, Captions]:
        path = self.folder / f"chunk-{number:06d}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files if name != "captions"}
                return arrays, json.loads(str(stored["captions"]))
        arrays, captions = self.make(range(number * CHUNK, (number + 1) * CHUNK))
        # An array that is read back is contiguous, and sums depend on the layout.
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, captions=np.array(json.dumps(captions)))
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(buffer.getvalue())
            os.replace(part, path)
        except OSError as error:
            raise StorageError(f"The latents could not be kept: {error.strerror}.") from None
        return arrays, captions
