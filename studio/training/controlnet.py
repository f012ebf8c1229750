"""Trains a ControlNet (Zhang et al. 2023) on exact maps of a data set's pictures; the base stays frozen.

Independent of how the maps are drawn: a data set gives them by name as pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training.config import ControlNetTask, TrainConfig
from studio.training.finetuning import Finetuning, in_parts
from studio.training.pictures import to_tensor
from studio.training.pretrained import prepare
from studio.training.rows import Arrays, Captions
from studio.training.tasks import learners


@learners.register("controlnet")
class ControlNetLearner(Finetuning):
    """A trainable copy of the U-Net's encoder, joined to it by convolutions that begin at zero."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, ControlNetTask)
        self.task = config.task
        super().__init__(config, folder)
        if self.task.control not in getattr(self.data, "controls", ()):
            raise InvalidRequest(f"{config.data.name} has no maps called {self.task.control!r}.", field="task.control")
        if self.task.placeless and not hasattr(self.data, "placeless"):
            raise InvalidRequest(f"{config.data.name} has no captions without places.", field="task.placeless")
        self.model = self.started().to(config.device)
        self.model.train().requires_grad_(True)
        prepare(self.model, config.device)
        if self.task.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        self.network, self.unet = self.compiled(self.model), self.compiled(self.base.unet)

    def started(self) -> ControlNetModel:
        """A copy of the U-Net's encoder, or the ControlNet that the recipe goes on from."""
        if self.task.start_from is not None:
            try:
                return ControlNetModel.from_pretrained(
                    self.task.start_from, local_files_only=True, torch_dtype=torch.float32
                )
            except (OSError, ValueError):
                raise InvalidRequest("There is no ControlNet to start from.", field="task.start_from") from None
        levels = self.base.factor.bit_length()  # each but the first halves the control picture
        if len(self.task.conditioning_channels) != levels:
            raise InvalidRequest(f"This base needs {levels} conditioning channels.", field="task.conditioning_channels")
        return ControlNetModel.from_unet(
            self.base.unet, conditioning_embedding_out_channels=self.task.conditioning_channels
        )

    def trained(self) -> nn.Module:
        return self.model

    def row_key(self) -> list[Any]:
        return [*super().row_key(), self.task.control, self.task.placeless]

    def make_rows(self, rows: Sequence[int]) -> tuple[Arrays, Captions]:
        retell = getattr(self.data, "retellings", None)
        latents, captions, controls = [], [], []
        for part in in_parts(rows):
            examples = [self.data[i] for i in part]
            latents.append(self.base.encode(to_tensor(np.stack([e.image for e in examples]))).cpu().numpy())
            for i, example in zip(part, examples, strict=True):
                more = retell(i, self.task.captions - 1) if retell else []
                if self.task.placeless:
                    more = [*more, *self.data.placeless(i, self.task.placeless)]
                captions.append([example.caption, *more])
                controls.append(self.data.control(i, self.task.control))
        pictures = np.stack(controls).transpose(0, 3, 1, 2)  # [n, 3, H, W] uint8
        return {"x0": np.concatenate(latents).astype(np.float16), "control": pictures}, captions

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        conditions = self.base.conditions(batch)
        control = batch["control"].float() / 255  # as the stock pipelines have it
        down, mid = self.network(x_t, t, controlnet_cond=control, **conditions, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return self.unet(x_t, t, **conditions, **residuals, return_dict=False)[0]

    def pipeline(self) -> Any:
        cls = StableDiffusionXLControlNetPipeline if self.base.xl else StableDiffusionControlNetPipeline
        parts = dict(self.base.pipeline.components)
        if not self.base.xl:
            parts["requires_safety_checker"] = False
        pipeline = cls(controlnet=self.model, **parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        """The maps of the data's first pictures, above what they and the prompts give; an empty prompt is the caption."""
        maps = [Image.fromarray(self.data.control(i, self.task.control)) for i in range(len(prompts))]
        texts = [prompt or self.data[i].caption for i, prompt in enumerate(prompts)]
        made = self.pipeline()(texts, image=maps, generator=generators, **options).images
        return [picture for i in range(0, len(made), 8) for picture in (*maps[i : i + 8], *made[i : i + 8])]

    def export(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
