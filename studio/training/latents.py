"""Latents of a data set without end, drawn and encoded once, kept in chunk files that runs share.

A chunk is a function of its number, the data and the autoencoder alone; runs may fill one
folder together, and a run that is resumed with an emptied folder reads the same numbers.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny

from studio.training import chunks
from studio.training.chunks import CHUNK
from studio.training.config import DataConfig
from studio.training.drawing import BLOCK, Ahead, Pictures, dataset
from studio.training.pictures import to_tensor


class LatentCache:
    """Rows 0, 1, 2, ... of (latent [c, h, w] of unit deviation, captions); `grow` makes them as they are needed."""

    def __init__(
        self,
        folder: Path,
        vae: AutoencoderTiny,
        vae_hash: str,
        data: DataConfig,
        captions: int,
        precision: str = "bf16",
        *,
        workers: int = 0,  # processes that draw
        rows: int | None = None,  # nothing beyond is drawn ahead
    ):
        self.vae, self.precision = vae, precision
        self.blocks = Ahead(Pictures(data, captions), workers)
        self.end = None if rows is None else -(-rows // CHUNK) * (CHUNK // BLOCK)
        version = getattr(dataset(data), "version", None)  # what is wrong with the data is said at once
        key = json.dumps(
            [vae_hash, data.key() | ({"version": version} if version else {}), captions, precision], sort_keys=True
        )
        self.folder = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        self.chunks: list[np.ndarray] = []  # each [CHUNK, c, h, w], fp16
        self.captions: list[list[str]] = []

    def __len__(self) -> int:
        return len(self.captions)

    def grow(self, rows: int) -> None:
        """Load or make rows until at least `rows` are in memory."""
        while len(self) < rows:
            latents, captions = self._chunk(len(self.chunks))
            self.chunks.append(latents)
            self.captions += captions

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one latent: [c, h, w]."""
        return self.chunks[0].shape[1:]

    def take(self, rows: Iterable[int]) -> np.ndarray:
        """The latents of those rows, [n, c, h, w]."""
        return np.stack([self.chunks[row // CHUNK][row % CHUNK] for row in rows])

    def _chunk(self, number: int) -> tuple[np.ndarray, list[list[str]]]:
        if (stored := chunks.read(self.folder, number)) is not None:
            arrays, captions = stored
            return arrays["latents"], captions
        latents, captions = self._make(range(number * CHUNK, (number + 1) * CHUNK))
        chunks.write(self.folder, number, {"latents": latents}, captions)
        return latents, captions

    @torch.no_grad()
    def _make(self, rows: range) -> tuple[np.ndarray, list[list[str]]]:
        latents: list[np.ndarray] = []
        captions: list[list[str]] = []
        device, scale = self.vae.device, self.vae.config.scaling_factor
        for number in range(rows.start // BLOCK, rows.stop // BLOCK):
            pictures, texts = self.blocks(number, self.end)
            x = to_tensor(pictures).to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                z = self.vae.encode(x).latents
            latents.append((z.float() * scale).cpu().numpy().astype(np.float16))
            captions += texts
        # The autoencoder's latents lie channels_last. A chunk that is read back does not, and sums depend on the layout.
        return np.ascontiguousarray(np.concatenate(latents)), captions
