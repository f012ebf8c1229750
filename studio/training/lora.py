"""Trains a LoRA (Hu et al. 2021) on a U-Net's layers, and on the text encoders' if asked, through peft. The file is kohya's.

Independent of the pictures, and of how a style is drawn.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training import kohya
from studio.training.config import LoraTask, TrainConfig
from studio.training.datasets.filters import filters
from studio.training.finetuning import Finetuning
from studio.training.optim import Group
from studio.training.tasks import learners

TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj")


@learners.register("lora")
class LoraLearner(Finetuning):
    """W + alpha / rank * up down on the named layers, W frozen."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, LoraTask)
        self.task, self.filter = config.task, filters.get(config.task.filter, field="task.filter")
        super().__init__(config, folder)
        updated = {"unet": self._adapt(self.base.unet, self.task.layers, "task.layers")}
        if self.task.text_encoder:
            for name, encoder in self.base.text_encoders().items():
                updated[name] = self._adapt(encoder, TEXT_LAYERS, "task.text_encoder")
        self.names = [f"{part}.{n}" for part, named in updated.items() for n, _ in named]
        self.updates = nn.ParameterList([p for named in updated.values() for _, p in named])
        self.network = self.compiled(self.base.unet)

    def _adapt(self, module: Any, layers: tuple[str, ...], field: str) -> list[tuple[str, nn.Parameter]]:
        names = [name for name, _ in module.named_modules() if name.endswith(layers)]
        if not names:
            raise InvalidRequest("The base has no layers of these names.", field=field)
        module.add_adapter(
            LoraConfig(r=self.task.rank, lora_alpha=self.task.alpha, target_modules=names, init_lora_weights="gaussian")
        )
        return [(n, p) for n, p in module.named_parameters() if p.requires_grad]

    def trained(self) -> nn.Module:
        return self.updates

    def groups(self) -> list[Group]:
        """No factor is a hidden matrix, which Muon would take."""
        pairs = list(zip(self.names, self.updates, strict=True))
        of_text = tuple(pair for pair in pairs if not pair[0].startswith("unet."))
        groups = [Group(tuple(pair for pair in pairs if pair[0].startswith("unet.")))]
        return groups + ([Group(of_text, self.task.text_rate)] if of_text else [])

    def row_key(self) -> list[Any]:
        return [*super().row_key(), self.task.filter, self.task.trigger]

    def picture(self, index: int, image: np.ndarray) -> np.ndarray:
        return self.filter(image, np.random.default_rng((self.config.data.seed, index, 3)))

    def caption(self, text: str) -> str:
        return ", ".join(part for part in (self.task.trigger, text) if part)

    def embed(self, caption: str) -> dict[str, Tensor]:
        return self.base.tokens(caption) if self.task.text_encoder else super().embed(caption)

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        text = self.base.encode_tokens(batch) if self.task.text_encoder else {}
        return self.network(x_t, t, **self.base.conditions(batch | text), return_dict=False)[0]

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        return self.base.pipeline([self.caption(p) for p in prompts], generator=generators, **options).images

    def export(self, folder: Path) -> None:
        captions = [texts for pool in self.pools for texts in pool.rows.captions]
        tags = Counter(tag for texts in captions for tag in texts[0].split(", ") if tag)
        values = dict(zip(self.names, self.updates, strict=True))
        path = folder / f"{self.config.name}.safetensors"
        kohya.save(path, values, self.config, self.task, self.base, tags, len(captions))
