"""Trains a DiT (Peebles & Xie 2023): latents conditioned on a class, in a stock `DiTPipeline`.

The class of a Tiny World picture is its object's kind. Independent of text.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, DiTPipeline, DiTTransformer2DModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest, ModelError
from studio.training.config import ClassesTask, TrainConfig
from studio.training.datasets.tinyworld import parse
from studio.training.datasets.tinyworld.vocabulary import KINDS
from studio.training.denoising import errors, levels, noise
from studio.training.export import file_hash
from studio.training.latents import LatentCache
from studio.training.objectives import objectives
from studio.training.optim import Group
from studio.training.pictures import sheet
from studio.training.schedules import schedules
from studio.training.tasks import learners

CLASSES = 1000  # that the pipeline knows; the next one means: no class
FIRST_ROWS = 2048


@learners.register("classes")
class ClassesLearner:
    """E || out(x_t, t, class) - target ||^2; the network itself drops a tenth of the classes (for guidance)."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, ClassesTask)
        self.config, self.task = config, config.task
        if config.data.name != "tinyworld":
            raise InvalidRequest("Only Tiny World's pictures have classes that this training knows.", field="data.name")
        self.objective = objectives.get(self.task.objective)
        self.schedule = schedules.get(self.task.schedule)(**self.task.schedule_options)
        autoencoder = Path(self.task.autoencoder)
        try:
            self.vae = AutoencoderTiny.from_pretrained(autoencoder).eval().requires_grad_(False).to(config.device)
        except (OSError, ValueError):
            raise ModelError(f"The autoencoder {autoencoder.name} cannot be loaded.") from None
        side = config.data.size // 2 ** (len(self.vae.config.encoder_block_out_channels) - 1)
        torch.manual_seed(config.seed)
        channels = self.vae.config.latent_channels
        sizes = {"num_attention_heads": 4, "attention_head_dim": 48, "num_layers": 6, **self.task.model}
        self.model = DiTTransformer2DModel(
            sample_size=side, in_channels=channels, out_channels=channels, num_embeds_ada_norm=CLASSES, **sizes
        ).to(config.device)
        _begin_as_identity(self.model)
        if torch.device(config.device).type == "cpu":  # the fused attention's backward is slow on processors
            for module in self.model.modules():
                if isinstance(module, Attention):
                    module.set_processor(AttnProcessor())
        self.network = torch.compile(self.model) if config.compile else self.model
        only_one = config.data.model_copy(update={"objects": (1.0, 0.0, 0.0)})
        key = file_hash(autoencoder)
        self.cache = LatentCache(folder.parent / "latents", self.vae, key, only_one, 1, config.precision)

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.model}

    def groups(self) -> list[Group]:
        def hidden(name: str, p: Tensor) -> bool:
            return p.ndim == 2 and name.startswith("transformer_blocks.") and ".norm1" not in name

        return [Group(tuple(self.model.named_parameters()), hidden=hidden)]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        rows = min(self.task.pictures, FIRST_ROWS + step * self.config.batch // 3)
        self.cache.grow(rows)
        picks = rng.integers(0, rows, self.config.batch)
        labels = [class_of(self.cache.captions[i][0]) for i in picks]
        return noise(torch.from_numpy(self.cache.take(picks)).float(), rng) | {"label": torch.tensor(labels)}

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # of the classes that the network drops

        def network(x: Tensor, t: Tensor) -> Tensor:
            return self.network(x, timestep=t, class_labels=batch["label"], return_dict=False)[0]

        error, factor = errors(batch, network, self.objective, self.schedule, self.task.weighting, self.task.loss)
        return (error * factor).mean(), levels(error.detach(), batch["u"])

    def pipeline(self) -> Any:
        labels = dict(enumerate(KINDS))
        scheduler = self.schedule.scheduler(self.objective.prediction)
        pipeline = DiTPipeline(self.model, self.vae, scheduler, id2label=labels)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def sample(self, step: int) -> Image.Image:
        """One picture of each class."""
        self.model.eval()
        pipeline, generator = self.pipeline(), torch.Generator().manual_seed(self.config.seed)
        made = pipeline(
            list(range(len(KINDS))),
            guidance_scale=self.task.sample_cfg,
            generator=generator,
            num_inference_steps=self.task.sample_steps,
        ).images
        self.model.train()
        return sheet(made, columns=8)

    def evaluate(self) -> dict[str, float]:
        return {}

    def export(self, folder: Path) -> None:
        self.pipeline().save_pretrained(folder)

    def close(self) -> None:
        self.cache.blocks.close()


def class_of(caption: str) -> int:
    """The number of the kind of the one object that a caption names."""
    scene = parse(caption)
    if scene is None or not scene.objects:
        raise InvalidRequest(f"The caption {caption[:80]!r} names no object.", field="data.name")
    return KINDS.index(scene.objects[0].kind)


def _begin_as_identity(model: nn.Module) -> None:
    """adaLN-Zero: every block begins as the identity, and the output at zero."""
    for name, module in model.named_modules():
        if name.endswith("norm1.linear") or name in ("proj_out_1", "proj_out_2"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
