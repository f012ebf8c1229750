"""A trained Stable Diffusion (SD 1, SD 2, SDXL, or the starter) as the frozen base that a further training starts from.

Encodes pictures and captions and runs the U-Net as the stock pipelines do. Independent of what is trained and of data.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

from studio.core.errors import ModelError
from studio.training.objectives import Objective, objectives

KEPT_TEXTS = 1024  # embeddings in memory


class Pretrained:
    """Components of a pipeline folder, all frozen. Raises ModelError where the folder holds no Stable Diffusion."""

    def __init__(self, folder: Path, device: str):
        if not (folder / "model_index.json").is_file():
            raise ModelError(f"There is no diffusers folder {folder.name!r} to start from.")
        try:
            pipeline = DiffusionPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
        except (OSError, ValueError):
            raise ModelError(f"The model {folder.name} cannot be loaded.") from None
        if not isinstance(pipeline, StableDiffusionPipeline | StableDiffusionXLPipeline):
            raise ModelError(f"{folder.name} is no text-to-image Stable Diffusion; this training starts from one.")
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline, self.device, self.xl = pipeline, device, isinstance(pipeline, StableDiffusionXLPipeline)
        self.unet, self.vae = pipeline.unet, pipeline.vae
        for module in pipeline.components.values():
            if isinstance(module, nn.Module):
                module.to(device).eval().requires_grad_(False)
        prepare(self.unet, device)
        alpha_bar = DDPMScheduler.from_config(pipeline.scheduler.config).alphas_cumprod.double()
        self.alphas, self.sigmas = alpha_bar.sqrt().float().to(device), (1 - alpha_bar).sqrt().float().to(device)
        self.factor = 2 ** (len(self.vae.config.block_out_channels) - 1)  # pixels to latents
        self.embed = lru_cache(maxsize=KEPT_TEXTS)(self._embed)

    @property
    def objective(self) -> Objective:
        """What the U-Net predicts."""
        prediction = self.pipeline.scheduler.config.prediction_type
        return next(o for o in map(objectives.get, objectives.names()) if o.prediction == prediction)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in -1..1 to scaled latents [n, c, h, w]."""
        out, config = self.vae.encode(x.to(self.device)), self.vae.config
        z = out.latents if hasattr(out, "latents") else out.latent_dist.mode()
        return (z - (getattr(config, "shift_factor", None) or 0.0)) * config.scaling_factor

    @torch.no_grad()
    def _embed(self, caption: str) -> dict[str, Tensor]:
        """A caption's embedding, by itself: in a batch, its last bits would depend on its neighbours."""
        if not self.xl:
            return {"text": self.pipeline.encode_prompt(caption, self.device, 1, False)[0][0]}  # [tokens, width]
        text, _, pooled, _ = self.pipeline.encode_prompt(
            caption, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        keep = 0.0 if not caption and self.pipeline.config.force_zeros_for_empty_prompt else 1.0
        return {"text": text[0] * keep, "pooled": pooled[0] * keep}

    def text_encoders(self) -> dict[str, nn.Module]:
        names = ("text_encoder", "text_encoder_2") if self.xl else ("text_encoder",)
        return {name: getattr(self.pipeline, name) for name in names}

    def tokens(self, caption: str) -> dict[str, Tensor]:
        """A caption for `encode_tokens`, where the text encoders are trained: [encoders, tokens] ids, and whether it counts."""
        tokenizers = [self.pipeline.tokenizer, self.pipeline.tokenizer_2] if self.xl else [self.pipeline.tokenizer]
        ids = [
            t(caption, padding="max_length", max_length=t.model_max_length, truncation=True).input_ids
            for t in tokenizers
        ]
        keep = 0.0 if self.xl and not caption and self.pipeline.config.force_zeros_for_empty_prompt else 1.0
        return {"ids": torch.tensor(ids), "keep": torch.tensor([keep])}

    def encode_tokens(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The embeddings of `tokens`, as the stock pipelines make them, with gradients."""
        ids, keep = batch["ids"], batch["keep"]  # [n, encoders, tokens], [n, 1]
        encoders = list(self.text_encoders().values())
        if not self.xl:
            return {"text": encoders[0](ids[:, 0])[0]}
        out = [encoder(ids[:, k], output_hidden_states=True) for k, encoder in enumerate(encoders)]
        text = torch.cat([each.hidden_states[-2] for each in out], dim=-1)
        return {"text": text * keep[..., None], "pooled": out[1][0] * keep}

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise scales [n, 1, 1, 1] at the times t [n]."""
        return self.alphas[t].view(-1, 1, 1, 1), self.sigmas[t].view(-1, 1, 1, 1)

    def conditions(self, batch: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the U-Net and a ControlNet take beside latents and times."""
        out: dict[str, Any] = {"encoder_hidden_states": batch["text"]}
        if self.xl:  # sizes of the original and the target, and the crop's corner
            height, width = (self.factor * side for side in batch["x0"].shape[-2:])
            sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32, device=self.device)
            out["added_cond_kwargs"] = {
                "text_embeds": batch["pooled"],
                "time_ids": sizes.repeat(len(batch["text"]), 1),
            }
        return out


def prepare(module: nn.Module, device: str) -> None:
    """The layout and attention that train fastest on processors: the fused attention's backward is slow there."""
    if torch.device(device).type == "cpu":
        module.to(memory_format=torch.channels_last)
        module.set_attn_processor(AttnProcessor())
