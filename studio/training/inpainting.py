"""Trains an inpainting U-Net of 9 channels from a text-to-image one (Rombach et al. 2022, section 4.5).

`conv_in` is widened by zero weights for the mask and the masked picture's latents. Independent of how masks are drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training.config import InpaintingTask, TrainConfig
from studio.training.finetuning import Finetuning
from studio.training.masks import masks
from studio.training.optim import Group
from studio.training.pictures import to_tensor
from studio.training.pretrained import prepare
from studio.training.rows import Arrays, Captions
from studio.training.tasks import learners

ENCODED_AT_ONCE = 32
CONV_IN_RATE = 5.0  # its share of the learning rate


def widened(unet: UNet2DConditionModel, extra: int) -> UNet2DConditionModel:
    """A trainable copy of a U-Net whose first convolution takes `extra` more channels, with weights of zero."""
    out = UNet2DConditionModel.from_config({**unet.config, "in_channels": unet.config.in_channels + extra})
    weights = dict(unet.state_dict())
    old = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat([old, old.new_zeros(old.shape[0], extra, *old.shape[2:])], dim=1)
    out.load_state_dict(weights)
    return out.to(unet.device)


@learners.register("inpainting")
class InpaintingLearner(Finetuning):
    """The network sees [x_t, mask, latents of the picture with the masked part blank]."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, InpaintingTask)
        self.task = config.task
        super().__init__(config, folder)
        drawn = getattr(self.data, "masked_objects", ())
        unknown = set(self.task.masks) - set(masks.names()) - set(drawn)
        if unknown:
            raise InvalidRequest(f"{config.data.name} has no masks of the kind {min(unknown)!r}.", field="task.masks")
        self.kinds, self.shares = list(self.task.masks), np.array(list(self.task.masks.values()))
        self.model = widened(self.base.unet, 1 + self.base.vae.config.latent_channels)
        self.model.train()
        prepare(self.model, config.device)
        if self.task.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        self.base.pipeline.unet = self.base.unet = self.model  # nothing else keeps the narrow one
        self.network = self.compiled(self.model)

    def trained(self) -> nn.Module:
        return self.model

    def groups(self) -> list[Group]:
        """The new channels begin at zero, so the first convolution learns faster than what is only adapted."""
        named = tuple(self.model.named_parameters())
        first = tuple(pair for pair in named if pair[0].startswith("conv_in."))
        rest = tuple(pair for pair in named if not pair[0].startswith("conv_in."))
        return [Group(rest, hidden=self.hidden), Group(first, CONV_IN_RATE)]

    def row_key(self) -> list[Any]:
        return [*super().row_key(), self.task.masks]

    def make_rows(self, rows: Sequence[int]) -> tuple[Arrays, Captions]:
        pictures, holes, captions = zip(*(self._row(i) for i in rows), strict=True)
        mask = np.stack(holes)[:, None]  # [n, 1, H, W]
        parts: dict[str, list[np.ndarray]] = {"x0": [], "masked": []}
        for start in range(0, len(pictures), ENCODED_AT_ONCE):
            part = slice(start, start + ENCODED_AT_ONCE)
            x = to_tensor(np.stack(pictures[part]))
            blank = x * torch.from_numpy(~mask[part])  # gray, as the stock pipelines have it
            for name, picture in (("x0", x), ("masked", blank)):
                parts[name].append(self.base.encode(picture).cpu().numpy().astype(np.float16))
        f = self.base.factor
        arrays = {name: np.concatenate(part) for name, part in parts.items()}
        return {**arrays, "mask": mask[:, :, ::f, ::f].astype(np.uint8)}, list(captions)

    def _row(self, index: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """A picture [H, W, 3], its mask [H, W] and captions of what the whole shows, or of what is masked."""
        rng = np.random.default_rng((self.config.data.seed, index, 2))
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.shares / self.shares.sum()))]
        if kind not in masks.names():
            return self.data.masked_object(index, kind, rng, self.task.captions)
        example = self.data[index]
        retell = getattr(self.data, "retellings", None)
        more = retell(index, self.task.captions - 1) if retell else []
        return example.image, masks.get(kind)(rng, self.config.data.size), [example.caption, *more]

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        x = torch.cat([x_t, batch["mask"].float(), batch["masked"].float()], dim=1)
        return self.network(x, t, **self.base.conditions(batch), return_dict=False)[0]

    def pipeline(self) -> Any:
        cls = StableDiffusionXLInpaintPipeline if self.base.xl else StableDiffusionInpaintPipeline
        parts = {n: c for n, c in self.base.pipeline.components.items() if n not in ("unet", "image_encoder")}
        if not self.base.xl:
            parts["requires_safety_checker"] = False
        pipeline = cls(unet=self.model, **parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        """The first pictures of the data with their masks: what the model sees beside what it makes of the prompt."""
        rows = [self._row(i) for i in range(len(prompts))]
        pictures = [Image.fromarray(picture) for picture, _, _ in rows]
        holes = [Image.fromarray(hole.astype(np.uint8) * 255) for _, hole, _ in rows]
        texts = [prompt or captions[0] for prompt, (_, _, captions) in zip(prompts, rows, strict=True)]
        made = self.pipeline()(
            texts, image=pictures, mask_image=holes, strength=1.0, generator=generators,
            height=self.config.data.size, width=self.config.data.size, **options,
        ).images  # fmt: skip
        seen = [Image.composite(Image.new("RGB", p.size, "gray"), p, h) for p, h in zip(pictures, holes, strict=True)]
        return [picture for i in range(0, len(made), 8) for picture in (*seen[i : i + 8], *made[i : i + 8])]

    def export(self, folder: Path) -> None:
        self.pipeline().save_pretrained(folder)
