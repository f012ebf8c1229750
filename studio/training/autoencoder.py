"""Trains an `AutoencoderTiny`: pictures to latents of zero mean and unit covariance, and back. Uses no captions."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import ModelError
from studio.training.config import AutoencoderTask, TrainConfig
from studio.training.crops import CropBatches
from studio.training.drawing import Ahead, dataset
from studio.training.optim import Group
from studio.training.pictures import from_tensor, sheet, to_tensor
from studio.training.tasks import learners

HELD_OUT = 64  # pictures that the metrics are measured on


@learners.register("autoencoder")
class AutoencoderLearner:
    """Mean squared and absolute error, the error of neighbours' differences, and a pull to whitened latents."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, AutoencoderTask)
        self.config, self.task = config, config.task
        self.data, self.held_out = dataset(config.data), dataset(config.data, "held_out")
        crops = CropBatches(
            config.data, config.seed, config.batch, self.task.crop, self.task.crops_per_picture, self.task.whole_every
        )
        self.pictures = Ahead(crops, config.workers)
        self.model = build(self.task).to(config.device, memory_format=torch.channels_last)
        if self.task.freeze_encoder:
            self.model.encoder.requires_grad_(False)
        self.forward = torch.compile(self._forward) if config.compile else self._forward

    def modules(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.model}

    def groups(self) -> list[Group]:
        named = tuple((n, p) for n, p in self.model.named_parameters() if p.requires_grad)
        ends = (
            "encoder.layers.0.",
            "decoder.layers.0.",
            _last_layer(self.model.encoder),
            _last_layer(self.model.decoder),
        )
        return [Group(named, hidden=lambda name, p: p.ndim == 4 and not name.startswith(ends))]

    def batch(self, step: int) -> dict[str, Tensor]:
        return {"x": to_tensor(self.pictures(step))}

    def _forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(not self.task.freeze_encoder):
            z = self.model.encoder(x)  # [n, c, h/8, w/8]
        return z, self.model.decoder(z + noise.to(z.dtype))

    def close(self) -> None:
        self.pictures.close()

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x = batch["x"].to(memory_format=torch.channels_last)  # [n, 3, h, w] in [-1, 1]
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        side = (x.shape[0], self.task.latent_channels, x.shape[2] // 8, x.shape[3] // 8)
        noise = torch.randn(side, generator=generator).to(x.device) * self.task.noise
        z, y = self.forward(x, noise)
        error = y.float() - x
        squared, absolute = error.square().mean(), error.abs().mean()
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        unwhite = unwhiteness(z.float())
        loss = squared + 0.2 * absolute + self.task.edges * 0.2 * edges + self.task.whiten * unwhite
        return loss, {"mse": squared.detach(), "unwhite": unwhite.detach()}

    @torch.no_grad()
    def _restored(self, pictures: np.ndarray) -> tuple[Tensor, Tensor]:
        x = to_tensor(pictures).to(self.config.device)
        outs = [self.model.decode(self.model.encode(part).latents).sample.clamp(-1, 1) for part in x.split(16)]
        return x, torch.cat(outs)

    def sample(self, step: int) -> Image.Image:
        pictures = np.stack([self.held_out[i].image for i in range(8)])
        x, y = self._restored(pictures)
        return sheet([from_tensor(t) for t in torch.cat([x, y])], columns=8)

    def evaluate(self) -> dict[str, float]:
        x, y = self._restored(np.stack([self.held_out[i].image for i in range(HELD_OUT)]))
        each = (x - y).square().mean(dim=(1, 2, 3)) / 4  # of a range of 1
        return {"psnr": float((-10 * each.log10()).mean()), "psnr_of_mean": float(-10 * each.mean().log10())}

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """A stock folder whose scaling_factor gives latents of unit deviation, measured on 512 training pictures.

        With a frozen encoder it is not changed, since denoisers have been trained on those latents.
        """
        if self.task.freeze_encoder:
            self.model.save_pretrained(folder)
            return
        parts = [to_tensor(np.stack([self.data[i + j].image for j in range(32)])) for i in range(0, 512, 32)]
        latents = torch.cat([self.model.encode(part.to(self.config.device)).latents for part in parts])
        self.model.register_to_config(scaling_factor=round(1 / float(latents.std()), 4))
        self.model.save_pretrained(folder)


def build(task: AutoencoderTask) -> AutoencoderTiny:
    """The autoencoder of a recipe; with `start_from`, that one's encoder, and its decoder where the sizes agree."""
    model = AutoencoderTiny(
        encoder_block_out_channels=(task.encoder_channels,) * len(task.encoder_blocks),
        decoder_block_out_channels=(task.decoder_channels,) * len(task.decoder_blocks),
        num_encoder_blocks=task.encoder_blocks,
        num_decoder_blocks=task.decoder_blocks,
        latent_channels=task.latent_channels,
    )
    if task.start_from is None:
        return model
    try:
        trained = AutoencoderTiny.from_pretrained(task.start_from)
        model.encoder.load_state_dict(trained.encoder.state_dict())
    except (OSError, ValueError, RuntimeError):
        raise ModelError("The autoencoder to start from is missing, or its encoder has other sizes.") from None
    model.register_to_config(scaling_factor=trained.config.scaling_factor)
    sizes = ("decoder_block_out_channels", "num_decoder_blocks")
    if all(list(trained.config[name]) == list(model.config[name]) for name in sizes):
        model.decoder.load_state_dict(trained.decoder.state_dict())
    return model


def unwhiteness(z: Tensor) -> Tensor:
    """[n, c, h, w] -> how far mean and covariance of the channels are from 0 and 1."""
    flat = z.transpose(0, 1).flatten(1)  # [c, n*h*w]
    mean = flat.mean(dim=1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / flat.shape[1]
    return mean.square().mean() + (covariance - torch.eye(len(covariance), device=z.device)).square().mean()


def _last_layer(module: nn.Module) -> str:
    names = [name for name, _ in module.named_parameters()]
    last = names[-1].rsplit(".", 1)[0]
    return f"{'encoder' if 'Encoder' in type(module).__name__ else 'decoder'}.{last}."
