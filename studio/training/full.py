"""Trains all weights of a Stable Diffusion's U-Net further (DreamBooth, full fine-tuning). The result is a whole pipeline.

Independent of the pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from studio.training.config import FullTask, TrainConfig
from studio.training.finetuning import Finetuning
from studio.training.tasks import learners


@learners.register("full")
class FullLearner(Finetuning):
    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, FullTask)
        super().__init__(config, folder)
        self.base.unet.requires_grad_(True)
        self.network = self.compiled(self.base.unet)

    def trained(self) -> nn.Module:
        return self.base.unet

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return self.network(x_t, t, **self.base.conditions(batch), return_dict=False)[0]

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        return self.base.pipeline(list(prompts), generator=generators, **options).images

    def export(self, folder: Path) -> None:
        self.base.pipeline.save_pretrained(folder)
