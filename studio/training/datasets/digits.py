"""Scikit-learn's handwritten digits (Alpaydin & Kaynak 1998): 1,797 pictures of 8 x 8, enlarged. Nothing is downloaded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from studio.training.datasets.registry import datasets

HELD_OUT = 297


@dataclass(frozen=True, slots=True)
class Example:
    image: np.ndarray  # [size, size, 3] uint8, white on black
    caption: str  # "0" to "9"


@datasets.register("digits")
class Digits:
    """Any index gives an example: they repeat after the last one."""

    def __init__(self, size: int = 16, seed: int = 0, split: str = "train", **unused: Any):
        from sklearn.datasets import load_digits

        found = load_digits()
        order = np.random.default_rng(seed).permutation(len(found.images))
        picks = order[HELD_OUT:] if split == "train" else order[:HELD_OUT]
        self.size = size
        self._images = [found.images[i] for i in picks]
        self._labels = [int(found.target[i]) for i in picks]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        index %= len(self)
        small = Image.fromarray((self._images[index] * 15.9375).round().astype(np.uint8))
        side = self.size * 3 // 4  # the scans have no margin of their own
        picture, margin = Image.new("RGB", (self.size, self.size)), (self.size - side) // 2
        picture.paste(small.resize((side, side), Image.Resampling.BICUBIC).convert("RGB"), (margin, margin))
        return Example(np.asarray(picture), str(self._labels[index]))
