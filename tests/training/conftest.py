"""Tiny but real parts for the trainer's tests, trained for a few steps once a session."""

from pathlib import Path

import pytest

from studio import compat

compat.prepare()

from studio.training import builtin  # noqa: E402, F401  (fills the registries)
from studio.training.config import TrainConfig, parse  # noqa: E402
from studio.training.trainer import Trainer  # noqa: E402

AUTOENCODER = {
    "kind": "autoencoder",
    "encoder_channels": 8,
    "decoder_channels": 8,
    "encoder_blocks": [0, 1, 1, 1],
    "decoder_blocks": [1, 1, 1, 1],
    "crop": 32,
}
TEXT = {"kind": "text", "hidden": 32, "layers": 1, "heads": 2, "captions": 400, "pictures": 64, "vocabulary": 700}
UNET = {
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 2,
}
MODELS = {
    "unet2d_condition": UNET,
    "pixart": {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1},
    "sd3": {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2},
}


def config(task: dict, **values: object) -> TrainConfig:
    """A recipe of four small steps in full precision."""
    base = {
        "name": "tiny",
        "seed": 7,
        "steps": 4,
        "batch": 4,
        "precision": "fp32",
        "threads": 1,
        "log_every": 1,
        "sample_every": 1000,
        "data": {"size": 64},
        "optimizer": {"name": "muon", "warmup": 1, "matrix_learning_rate": 0.003},
        "task": task,
    }
    return parse({**base, **values})


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `autoencoder` and `text`, each trained for two steps."""
    folder = tmp_path_factory.mktemp("parts")
    for name, task in (("autoencoder", AUTOENCODER), ("text", TEXT)):
        list(Trainer(config(task, steps=2), folder / f"run-{name}").run())
        (folder / f"run-{name}" / "model").rename(folder / name)
    return folder


@pytest.fixture
def diffusion(parts: Path):
    """Makes the recipe of a tiny denoiser: diffusion(backbone, **values)."""

    def make(backbone: str = "pixart", task: dict | None = None, **values: object) -> TrainConfig:
        base = {
            "kind": "diffusion",
            "backbone": backbone,
            "model": MODELS[backbone],
            "autoencoder": str(parts / "autoencoder"),
            "text": str(parts / "text"),
            "pictures": 256,
            "captions": 2,
            "sample_steps": 2,
        }
        return config({**base, **(task or {})}, **values)

    return make
