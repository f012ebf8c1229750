"""Trains a latent text-to-image denoiser together with its text encoder.

The denoiser, the objective and the noise schedule come from their registries.
"""

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from studio.core.errors import ModelError
from studio.training.backbones import Backbone, backbones
from studio.training.config import DiffusionTask, TrainConfig
from studio.training.export import file_hash, stock_pipeline
from studio.training.latents import LatentCache
from studio.training.objectives import losses, objectives, weight
from studio.training.optim import Group
from studio.training.pictures import sheet
from studio.training.schedules import schedules
from studio.training.tasks import learners
from studio.training.text import tokenize

FIRST_ROWS = 2048  # pictures before the first step; the rest are drawn as the run goes on


@learners.register("diffusion")
class DiffusionLearner:
    """E || out(x_t, t, text) - target ||^2, with some captions dropped (for classifier-free guidance)."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, DiffusionTask)
        self.config, self.task = config, config.task
        self.objective = objectives.get(self.task.objective)
        self.schedule = schedules.get(self.task.schedule)(**self.task.schedule_options)
        self.backbone = backbones.get(self.task.backbone)
        self.vae, self.tokenizer, self.text = _parts(self.backbone, Path(self.task.autoencoder), Path(self.task.text))
        self.vae.to(config.device).requires_grad_(False)
        self.text.to(config.device)
        side = config.data.size // 2 ** (len(self.vae.config.encoder_block_out_channels) - 1)
        torch.manual_seed(config.seed)
        channels = self.vae.config.latent_channels
        self.model = self.backbone.build(dict(self.task.model), channels, side, self.text).to(config.device)
        self.on_cpu = torch.device(config.device).type == "cpu"
        if self.on_cpu or self.backbone.own_attention:
            # The fused attention's backward is slow on processors: a step of the starter took 1.34 s with it, 0.95 without.
            self.model.set_attn_processor(self.backbone.attention())
        self.network = compiled(self.model) if config.compile else self.model
        self.cache = LatentCache(
            folder.parent / "latents",
            self.vae,
            file_hash(Path(self.task.autoencoder)),
            config.data,
            self.task.captions,
            config.precision,
            workers=config.workers,
            rows=self.task.pictures,
        )

    def modules(self) -> dict[str, nn.Module]:
        return {self.backbone.component: self.model, "text_encoder": self.text}

    def groups(self) -> list[Group]:
        groups = [Group(tuple(self.model.named_parameters()), hidden=self.backbone.hidden)]
        if self.task.text_rate:
            named = tuple((n, p) for n, p in self.text.named_parameters())
            groups.append(Group(named, self.task.text_rate, lambda name, p: p.ndim == 2 and ".layers." in name))
        return groups

    def rows(self, step: int) -> int:
        """The number of cached pictures that a step draws from: it grows with the run, up to a limit, so that few repeat."""
        return min(self.task.pictures, FIRST_ROWS + step * self.config.batch // self.task.repeats)

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.config.seed, step))
        rows = self.rows(step)
        self.cache.grow(rows)
        n = self.config.batch
        picks = rng.integers(0, rows, n)
        choices = [self.cache.captions[i] for i in picks]
        captions = [texts[int(k * len(texts))] for texts, k in zip(choices, rng.random(n), strict=True)]
        left_out = rng.random(n) < self.task.unconditional
        captions = ["" if out else caption for out, caption in zip(left_out, captions, strict=True)]
        ids, mask = tokenize(self.tokenizer, captions, self.tokenizer.model_max_length if self.backbone.pads else None)
        u = (rng.permutation(n) + rng.random(n)) / n  # stratified: every batch sees all noise levels
        out = {"x0": torch.from_numpy(self.cache.take(picks)), "ids": ids, "mask": mask, "u": torch.from_numpy(u)}
        if self.on_cpu:
            out["eps"] = torch.from_numpy(rng.standard_normal((n, *self.cache.shape), dtype=np.float32))
        return out

    def _noise(self, step: int, x0: Tensor) -> Tensor:
        """Drawn where the model is: a processor draws the noise of a large batch more slowly than a GPU trains on it."""
        generator = torch.Generator(x0.device).manual_seed(self.config.seed * 1_000_003 + step)
        return torch.randn(x0.shape, device=x0.device, generator=generator)

    def close(self) -> None:
        self.cache.blocks.close()

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x0 = batch["x0"].float()  # [n, c, h, w]
        eps = batch["eps"] if "eps" in batch else self._noise(step, x0)
        t = self.schedule.times(batch["u"])
        alpha, sigma = (s.view(-1, 1, 1, 1).float() for s in self.schedule.alpha_sigma(t))
        x_t = alpha * x0 + sigma * eps
        text = self.backbone.encode(self.text, batch["ids"], batch["mask"])
        out = self.backbone.predict(self.network, x_t, t, text, batch["mask"]).float()
        error = losses.get(self.task.loss)(out - self.objective.target(x0, eps, alpha, sigma)).mean(
            dim=(1, 2, 3)
        )  # [n]
        weighted = error * weight(self.objective, self.task.weighting, alpha.flatten(), sigma.flatten())
        early = batch["u"] > 0.6  # mostly noise: where the text decides
        return weighted.mean(), {"noisy": error[early].mean().detach(), "clear": error[~early].mean().detach()}

    def pipeline(self) -> object:
        """The stock pipeline around the modules as they are now."""
        return stock_pipeline(self.backbone, self.model, self.vae, self.text, self.tokenizer, self._scheduler())

    def _scheduler(self) -> object:
        return self.schedule.scheduler(self.objective.prediction)

    def sample(self, step: int) -> Image.Image | None:
        if not self.task.sample_prompts:
            return None
        pipeline = self.pipeline()
        prompts = list(self.task.sample_prompts)
        generators = [torch.Generator().manual_seed(k) for k in range(len(prompts))]
        bf16 = self.config.precision == "bf16"
        eager = torch.compiler.set_stance("force_eager")  # other shapes than a step's would be compiled anew
        with eager, torch.autocast(torch.device(self.config.device).type, torch.bfloat16, enabled=bf16):
            pictures = pipeline(  # type: ignore[operator]
                prompts,
                num_inference_steps=self.task.sample_steps,
                guidance_scale=self.task.sample_cfg,
                **self.backbone.call,
                generator=generators,
            ).images
        return sheet(pictures, columns=8)

    def evaluate(self) -> dict[str, float]:
        return {}

    def export(self, folder: Path) -> None:
        self.pipeline().save_pretrained(folder)  # type: ignore[attr-defined]


def compiled(model: nn.Module) -> nn.Module:
    """The model compiled: on a GPU block by block, since blocks that are alike compile once, in seconds."""
    rows = [child for child in model.children() if isinstance(child, nn.ModuleList)]
    if next(model.parameters()).device.type == "cpu" or not rows:
        return torch.compile(model)
    for block in chain.from_iterable(rows):
        block.compile()
    return model


def _parts(backbone: Backbone, autoencoder: Path, text: Path) -> tuple[AutoencoderTiny, CLIPTokenizer, nn.Module]:
    try:
        return (
            AutoencoderTiny.from_pretrained(autoencoder).eval(),
            CLIPTokenizer.from_pretrained(text / "tokenizer"),
            backbone.load_text(text),
        )
    except (OSError, ValueError):
        names = f"{autoencoder.name} and {text.name}"
        raise ModelError(
            f"The trained autoencoder or text encoder cannot be loaded ({names}); train them first."
        ) from None
