"""Trains a pixel denoiser without a prompt: DDPM's U-Net (Ho et al. 2020), small enough for two cores and a few minutes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training.config import PixelsTask, TrainConfig
from studio.training.datasets import datasets
from studio.training.denoising import errors, fixed_noise, levels, noise, solve
from studio.training.objectives import objectives
from studio.training.optim import Group
from studio.training.pictures import from_tensor, sheet, to_tensor
from studio.training.schedules import schedules
from studio.training.tasks import learners

HELD_OUT = 64
SAMPLES = 16
_TRAINED = (
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
_ENDS = ("conv_in.", "conv_out.", "time_embedding.")


@learners.register("pixels")
class PixelsLearner:
    """E || out(x_t, t) - target ||^2 on pictures [3, h, w] in [-1, 1]."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, PixelsTask)
        self.config, self.task = config, config.task
        self.objective = objectives.get(self.task.objective)
        if self.objective.prediction == "flow_prediction":
            raise InvalidRequest(
                "DDPM's pipeline samples epsilon, x0 and v; choose one of them.", field="task.objective"
            )
        self.schedule = schedules.get(self.task.schedule)(**self.task.schedule_options)
        make, options = datasets.get(config.data.name), config.data.options()
        self.data = make(**options, split="train")
        held_out = make(**options, split="held_out")
        self.model = UNet2DModel(sample_size=config.data.size, in_channels=3, out_channels=3, **self.task.model)
        self.model.to(config.device, memory_format=torch.channels_last)
        self.network = torch.compile(self.model) if config.compile else self.model
        count = min(self.task.pictures, len(self.data) if hasattr(self.data, "__len__") else self.task.pictures)
        self.x = to_tensor(np.stack([self.data[i].image for i in range(count)]))
        unseen = to_tensor(np.stack([held_out[i].image for i in range(HELD_OUT)]))
        self.validation = fixed_noise(unseen, config.seed)

    def modules(self) -> dict[str, nn.Module]:
        return {"unet": self.model}

    def groups(self) -> list[Group]:
        named = tuple(self.model.named_parameters())
        return [Group(named, hidden=lambda name, p: p.ndim in (2, 4) and not name.startswith(_ENDS))]

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        return noise(self.x[torch.from_numpy(rng.integers(0, len(self.x), self.config.batch))], rng)

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error, factor = self._errors(batch)
        return (error * factor).mean(), levels(error.detach(), batch["u"])

    def _errors(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        def network(x: Tensor, t: Tensor) -> Tensor:
            return self.network(x.to(memory_format=torch.channels_last), t, return_dict=False)[0]

        return errors(batch, network, self.objective, self.schedule, self.task.weighting, self.task.loss)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The loss on held-out pictures, at noise and times that never change."""
        device = self.config.device
        error, factor = self._errors({name: value.to(device) for name, value in self.validation.items()})
        return {"validation": float((error * factor).mean())}

    def pipeline(self) -> Any:
        trained = self.schedule.scheduler(self.objective.prediction).config
        scheduler = DDPMScheduler(**{name: trained[name] for name in _TRAINED}, clip_sample=True)
        return DDPMPipeline(unet=self.model, scheduler=scheduler)

    @torch.no_grad()
    def sample(self, step: int) -> Image.Image:
        """Sixteen pictures from noise that never changes, by DDIM."""
        scheduler = DDIMScheduler.from_config(self.pipeline().scheduler.config, timestep_spacing="trailing")
        generator = torch.Generator().manual_seed(self.config.seed)
        x = torch.randn((SAMPLES, *self.x.shape[1:]), generator=generator).to(self.config.device)
        x = solve(scheduler, lambda x, t: self.model(x, t, return_dict=False)[0], x, self.task.sample_steps)
        scale = max(1, 64 // self.config.data.size)
        pictures = [from_tensor(each) for each in x]
        side = self.config.data.size * scale
        return sheet([picture.resize((side, side), Image.Resampling.NEAREST) for picture in pictures], columns=8)

    def export(self, folder: Path) -> None:
        self.pipeline().save_pretrained(folder)
