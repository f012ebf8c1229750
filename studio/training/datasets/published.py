"""MNIST, Fashion-MNIST and CIFAR-10: downloaded once by torchvision, in a process of its own, so that torch is not loaded here.

The pictures are kept as one array file a split under `runs/downloads`.
"""

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.settings import PROJECT
from studio.training.datasets.registry import datasets

DOWNLOADS = PROJECT / "runs" / "downloads"
PATIENCE = 900  # seconds
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, slots=True)
class Example:
    image: np.ndarray  # [size, size, 3] uint8
    caption: str


class Published:
    """Any index gives an example: they repeat after the last one. The held-out split is the published test set."""

    def __init__(self, torchvision: str, names: tuple[str, ...], size: int = 32, split: str = "train", **unused: Any):
        path = DOWNLOADS / f"{torchvision}-{'train' if split == 'train' else 'test'}.npz"
        if not path.exists():
            _download(torchvision, split == "train", path)
        with np.load(path, allow_pickle=False) as stored:
            self._images, self._labels = stored["images"], stored["labels"]  # [n, h, w] or [n, h, w, 3] uint8
        self.size, self._names = size, names

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        index %= len(self)
        picture = Image.fromarray(self._images[index]).convert("RGB")
        if picture.width != self.size:
            picture = picture.resize((self.size, self.size), Image.Resampling.BICUBIC)
        return Example(np.asarray(picture), self._names[int(self._labels[index])])


def _download(torchvision: str, train: bool, path: Path) -> None:
    command = [sys.executable, "-m", "studio.training.datasets.download", torchvision, str(int(train)), str(path)]
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise InvalidRequest(
            f"{torchvision} did not arrive within {PATIENCE // 60} minutes.", field="data.name"
        ) from None
    if done.returncode:
        lacks = "No module named 'torchvision'" in done.stderr
        why = "torchvision, which downloads it, is not installed" if lacks else "its server could not be reached"
        raise InvalidRequest(f"{torchvision} is not here yet, and {why}.", field="data.name")


datasets.add("mnist", partial(Published, "MNIST", DIGITS))
datasets.add("fashion_mnist", partial(Published, "FashionMNIST", CLOTHES))
datasets.add("cifar10", partial(Published, "CIFAR10", THINGS))
