"""Trains a LoRA (Hu et al. 2021) on a U-Net's layers through peft, on pictures in a style. The file is kohya's.

Independent of how a style is drawn.
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
from studio.training.pictures import to_tensor
from studio.training.rows import Arrays, Captions
from studio.training.tasks import learners

ENCODED_AT_ONCE = 32


@learners.register("lora")
class LoraLearner(Finetuning):
    """W + alpha / rank * up down on the named layers, W frozen."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, LoraTask)
        self.task, self.filter = config.task, filters.get(config.task.filter, field="task.filter")
        super().__init__(config, folder)
        names = [name for name, _ in self.base.unet.named_modules() if name.endswith(self.task.layers)]
        if not names:
            raise InvalidRequest("The base has no layers of these names.", field="task.layers")
        self.base.unet.add_adapter(
            LoraConfig(r=self.task.rank, lora_alpha=self.task.alpha, target_modules=names, init_lora_weights="gaussian")
        )
        named = [(n, p) for n, p in self.base.unet.named_parameters() if p.requires_grad]
        self.names, self.updates = [n for n, _ in named], nn.ParameterList([p for _, p in named])
        self.network = self.compiled(self.base.unet)

    def trained(self) -> nn.Module:
        return self.updates

    def hidden(self, name: str, parameter: Tensor) -> bool:
        return False  # low-rank factors are no hidden matrices

    def row_key(self) -> list[Any]:
        return [*super().row_key(), self.task.filter, self.task.trigger]

    def make_rows(self, rows: range) -> tuple[Arrays, Captions]:
        retell = getattr(self.data, "retellings", None)
        latents, captions = [], []
        for start in range(rows.start, rows.stop, ENCODED_AT_ONCE):
            part = range(start, min(start + ENCODED_AT_ONCE, rows.stop))
            examples = [self.data[i] for i in part]
            styled = [self.filter(e.image, np.random.default_rng((self.config.data.seed, i, 3)))
                      for i, e in zip(part, examples, strict=True)]  # fmt: skip
            latents.append(self.base.encode(to_tensor(np.stack(styled))).cpu().numpy())
            for i, example in zip(part, examples, strict=True):
                more = retell(i, self.task.captions - 1) if retell else []
                captions.append([self._triggered(text) for text in (example.caption, *more)])
        return {"x0": np.concatenate(latents).astype(np.float16)}, captions

    def _triggered(self, text: str) -> str:
        return f"{self.task.trigger}, {text}" if self.task.trigger else text

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return self.network(x_t, t, **self.base.conditions(batch, self.config.data.size), return_dict=False)[0]

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        return self.base.pipeline([self._triggered(p) for p in prompts], generator=generators, **options).images

    def export(self, folder: Path) -> None:
        tags = Counter(tag for texts in self.rows.captions for tag in texts[0].split(", "))
        values = dict(zip(self.names, self.updates, strict=True))
        kohya.save(folder / f"{self.config.name}.safetensors", values, self.config, self.task, self.base, tags)
