"""The pictures that a model was trained on, in the space in which it works, as one file: made by a process of its own.

`python -m studio.training.training_set CONFIG MODEL TARGET` draws or reads them by the model's recipe and encodes them with the
model's own autoencoder. Independent of what is done with them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from studio.training.config import DiffusionTask, PixelsTask, TrainConfig, load

MOST = 1536  # pictures
NUMBERS = 2**21  # in all of them, in the model's space: what a browser looks through at every step
THUMBNAIL = 64
BATCH = 32


def count_of(config: TrainConfig) -> tuple[int, int]:
    """How many pictures of the training set are taken, always its first ones, and how many it was trained on."""
    assert isinstance(config.task, PixelsTask | DiffusionTask)
    cells = config.data.size**2 * 3 if isinstance(config.task, PixelsTask) else (config.data.size // 8) ** 2 * 4
    return min(config.task.pictures, MOST, max(64, NUMBERS // cells)), config.task.pictures


def make(config: TrainConfig, model: Path, target: Path) -> None:
    """Write x0 [n, c, h, w] (fp16), pictures [n, s, s, 3] (uint8), and for latents `rgb` [c + 1, 3]: the mean colour that a cell of
    the latent and 1 give, by least squares."""
    import torch
    from safetensors.numpy import save_file

    from studio.training.drawing import dataset
    from studio.training.pictures import to_tensor

    torch.set_num_threads(1)
    wanted, total = count_of(config)
    data = dataset(config.data)
    count = min(wanted, len(data)) if hasattr(data, "__len__") else wanted
    pictures = np.stack([data[i].image for i in range(count)])
    values = to_tensor(pictures)
    tensors: dict[str, Any] = {"pictures": _small(pictures)}
    if isinstance(config.task, DiffusionTask):
        values = _encoded(values, model / "vae")
        tensors["rgb"] = _colours(values.numpy(), pictures)
    tensors["x0"] = np.ascontiguousarray(values.numpy().astype(np.float16))  # safetensors writes memory as it lies
    about = {"data": config.data.name, "total": min(total, len(data)) if hasattr(data, "__len__") else total}
    part = target.with_suffix(".part")
    save_file(tensors, part, metadata={"training_set": json.dumps(about)})
    part.replace(target)


def _encoded(x: Any, folder: Path) -> Any:
    """Pictures [n, 3, h, w] in [-1, 1] -> latents of unit deviation, as the trainer's cache has them."""
    import torch
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(folder).float().eval()
    with torch.no_grad():
        return torch.cat([vae.encode(rows).latents * vae.config.scaling_factor for rows in x.split(BATCH)])


def _small(pictures: np.ndarray) -> np.ndarray:
    """At most THUMBNAIL a side, by means of squares."""
    n, side = pictures.shape[:2]
    by = max(1, side // THUMBNAIL)
    end = side // by * by
    squares = pictures[:, :end, :end].reshape(n, end // by, by, end // by, by, 3)
    return squares.mean(axis=(2, 4)).round().astype(np.uint8)


def _colours(latents: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """[c + 1, 3] from a cell of the latent and 1 to the mean colour below it, in 0..1."""
    n, channels, h, w = latents.shape
    by = pictures.shape[1] // h
    colours = pictures.reshape(n, h, by, w, by, 3).mean(axis=(2, 4)).reshape(-1, 3) / 255
    cells = latents.transpose(0, 2, 3, 1).reshape(-1, channels)
    found = np.linalg.lstsq(np.concatenate([cells, np.ones((len(cells), 1))], axis=1), colours, rcond=None)[0]
    return found.astype(np.float32)


def main(config: str, model: str, target: str) -> None:
    from studio import compat

    compat.prepare()
    from studio.training import builtin  # noqa: F401  (fills the registries)

    make(load(Path(config)), Path(model), Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
