"""Rows of named arrays with captions, made once, kept in chunk files that runs share.

A chunk is a function of its number and the key alone, so a resumed run reads the same numbers. Independent of what the
arrays are.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from studio.training import chunks
from studio.training.chunks import CHUNK, Captions

Arrays = dict[str, np.ndarray]


class Rows:
    """Rows 0, 1, 2, ... of arrays and captions; `grow` makes them as they are needed, by `make(range)`."""

    def __init__(
        self, folder: Path, key: Any, make: Callable[[range], tuple[Arrays, Captions]], most: int | None = None
    ):
        text = json.dumps(key, sort_keys=True)
        self.folder, self.make = folder / hashlib.sha256(text.encode()).hexdigest()[:16], make
        self.most = most  # there are no further rows
        self.arrays: Arrays = {}  # name -> [rows, ...]
        self.captions: Captions = []

    def __len__(self) -> int:
        return len(self.captions)

    def grow(self, rows: int) -> None:
        """Load or make rows until at least `rows` are in memory."""
        parts = [self.arrays] if len(self) else []
        while len(self) < rows:
            arrays, captions = self._chunk(len(self) // CHUNK)
            parts.append(arrays)
            self.captions += captions
        if len(parts) > 1 or not self.arrays:
            self.arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _chunk(self, number: int) -> tuple[Arrays, Captions]:
        if (stored := chunks.read(self.folder, number)) is not None:
            return stored
        end = (number + 1) * CHUNK
        arrays, captions = self.make(range(number * CHUNK, end if self.most is None else min(end, self.most)))
        # An array that is read back is contiguous, and sums depend on the layout.
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        chunks.write(self.folder, number, arrays, captions)
        return arrays, captions
