"""Pictures between arrays, tensors and sheets."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(pictures: np.ndarray) -> Tensor:
    """[n, h, w, 3] uint8 -> [n, 3, h, w] float in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def from_tensor(x: Tensor) -> Image.Image:
    """[3, h, w] in [-1, 1] -> a picture."""
    values = (x.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    return Image.fromarray(values.round().byte().permute(1, 2, 0).numpy())


def sheet(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of one size in rows of `columns`."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    out = Image.new("RGB", (columns * width, rows * height), "white")
    for i, picture in enumerate(pictures):
        out.paste(picture, (i % columns * width, i // columns * height))
    return out
