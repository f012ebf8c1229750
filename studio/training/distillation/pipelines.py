"""Trains few-step students of a trained Stable Diffusion. The result is a stock pipeline whose scheduler takes the steps.

Independent of the method, and of the pictures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.training.config import StudentTask, TrainConfig
from studio.training.distillation import methods
from studio.training.distillation.denoiser import Conditions
from studio.training.distillation.student import Student
from studio.training.export import file_hash
from studio.training.finetuning import Finetuning, in_parts
from studio.training.pictures import sheet
from studio.training.pretrained import prepare
from studio.training.rows import Arrays, Captions
from studio.training.schedules import Discrete
from studio.training.tasks import learners

GUIDANCE_WIDTH = 256  # of the embedded guidance scale
NO_STEPS_OF_EPSILON = (
    "At the noisiest step epsilon says nothing of the picture; progressive needs a teacher of v or x0."
)


def student_of(teacher: UNet2DConditionModel, embeds_guidance: bool) -> UNet2DConditionModel:
    """A trainable copy, with an embedding of the guidance scale that begins at zero where it reads one."""
    width = GUIDANCE_WIDTH if embeds_guidance else teacher.config.time_cond_proj_dim
    student = UNet2DConditionModel.from_config({**teacher.config, "time_cond_proj_dim": width})
    missing, _ = student.load_state_dict(teacher.state_dict(), strict=False)
    for name in missing:
        nn.init.zeros_(student.get_parameter(name))
    return student.to(teacher.device).train()


@learners.register("student")
class StudentLearner(Student, Finetuning):
    """The base is the teacher. Text and autoencoder stay as they are."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, StudentTask)
        self.distillation, self.method = config.task, methods.get(config.task.method)
        super().__init__(config, folder)
        if config.task.method == "progressive" and self.base.objective.prediction == "epsilon":
            raise InvalidRequest(NO_STEPS_OF_EPSILON, field="task.base")
        teacher = self.base.unet
        self.model = student_of(teacher, self.method.embeds_guidance)
        if config.task.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        betas = DDPMScheduler.from_config(self.base.pipeline.scheduler.config).betas
        self.begin(self.model, teacher, self.base.objective, Discrete(betas))
        for module in (self.model, self.target):
            prepare(module, config.device)
        self.forward = {id(m): self.compiled(m) for m in (self.model, self.target, self.teacher)}
        self.nothing = super().embed("")
        self.by_teacher: dict[int, list[Image.Image]] = {}

    def trained(self) -> nn.Module:
        return self.model

    def call(self, module: nn.Module, x: Tensor, t: Tensor, given: Conditions) -> Tensor:
        options = self.base.conditions({"x0": x, **given})
        if self.method.embeds_guidance and "w" in given:
            embedding = self.base.pipeline.get_guidance_scale_embedding(given["w"] - 1, GUIDANCE_WIDTH)
            options["timestep_cond"] = embedding.to(x.device)
        return self.forward[id(module)](
            x.contiguous(memory_format=torch.channels_last), t, **options, return_dict=False
        )[0]

    def without(self, given: Conditions) -> Conditions:
        n = len(given["text"])
        return {**given, **{name: e.to(given["text"]).expand(n, *e.shape) for name, e in self.nothing.items()}}

    def row_key(self) -> list[Any]:
        task = self.distillation
        if not self.method.coupled:
            return super().row_key()
        teacher = file_hash(Path(task.base) / "unet")
        return [*super().row_key(), teacher, self.config.seed, task.guidance[0], task.teacher_steps]

    def make_rows(self, rows: Sequence[int]) -> tuple[Arrays, Captions]:
        """For reflow, noise and what the teacher's own pipeline makes of it, in place of the pictures' latents."""
        if not self.method.coupled:
            return super().make_rows(rows)
        channels, side = self.base.unet.config.in_channels, self.config.data.size // self.base.factor
        x0, noise, captions = [], [], [self.data[i].caption for i in rows]
        for part in in_parts(range(len(rows))):
            generators = [torch.Generator().manual_seed(self.config.seed * 1_000_003 + rows[k]) for k in part]
            eps = torch.stack([torch.randn((channels, side, side), generator=g) for g in generators])
            made = self.base.pipeline(
                [captions[k] for k in part],
                latents=eps.to(self.config.device),
                num_inference_steps=self.distillation.teacher_steps,
                guidance_scale=self.distillation.guidance[0],
                output_type="latent",
            ).images
            x0.append(made.cpu().half())
            noise.append(eps.half())
        return {"x0": torch.cat(x0).numpy(), "eps": torch.cat(noise).numpy()}, [[text] for text in captions]

    def batch(self, step: int) -> dict[str, Tensor]:
        batch = super().batch(step)
        rng = np.random.default_rng((self.config.seed, step, 4))
        return {name: value for name, value in batch.items() if name != "t"} | {"w": self.scales(len(batch["u"]), rng)}

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.distill(step, batch)

    def pipeline(self) -> Any:
        cls = StableDiffusionXLPipeline if self.base.xl else StableDiffusionPipeline
        parts = {**self.base.pipeline.components, "unet": self.model, "scheduler": self.scheduler()}
        if not self.base.xl:
            parts["requires_safety_checker"] = False
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def scheduler(self) -> Any:
        """The stock one that takes the student's steps, on the teacher's noise schedule."""
        trained = DDPMScheduler.from_config(self.base.pipeline.scheduler.config).config
        names = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas", "prediction_type")
        cls = getattr(diffusers, self.method.scheduler)
        own = {"original_inference_steps": self.distillation.teacher_steps} if cls is diffusers.LCMScheduler else {}
        return cls(
            **{name: trained[name] for name in names},
            rescale_betas_zero_snr=trained["rescale_betas_zero_snr"],
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=False,
            **own,
        )

    def sample(self, step: int) -> Image.Image | None:
        """For each number of evaluations the teacher above the student. With guidance, a teacher's step takes two."""
        prompts = list(self.distillation.sample_prompts)
        if not prompts:
            return None
        student, scale = self.pipeline(), sum(self.distillation.guidance) / 2
        guided = 2 if scale > 1 else 1
        pictures = []
        for n in self.distillation.compared:
            if n not in self.by_teacher:
                self.by_teacher[n] = self._draw(self.base.pipeline, prompts, max(1, n // guided), scale)
            pictures += self.by_teacher[n] + self._draw(
                student, prompts, n, scale if self.method.embeds_guidance else 1.0
            )
        return sheet(pictures, columns=len(prompts))

    def _draw(self, pipeline: Any, prompts: list[str], steps: int, scale: float) -> list[Image.Image]:
        generators = [torch.Generator().manual_seed(k) for k in range(len(prompts))]
        return pipeline(prompts, generator=generators, num_inference_steps=steps, guidance_scale=scale).images

    def export(self, folder: Path) -> None:
        self.pipeline().save_pretrained(folder)
