"""What the trainings share that start from a trained Stable Diffusion: rows of latents, noise, captions, and the loss.

A subclass says what is trained, which arrays a row has and how they enter the prediction. Independent of those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from studio.core.errors import InvalidRequest
from studio.core.registry import Registry
from studio.training.config import FinetuningTask, TrainConfig
from studio.training.datasets import datasets
from studio.training.export import file_hash
from studio.training.optim import Group
from studio.training.pictures import sheet, to_tensor
from studio.training.pretrained import Pretrained
from studio.training.rows import Arrays, Captions, Rows

FIRST_ROWS = 512  # pictures before the first step; the rest are made as the run goes on
ENCODED_AT_ONCE = 32
ENDS = ("conv_in.", "conv_out.", "time_embedding.")

# Uniform variates to fractions of the longest time. Cubic: Mou et al. 2023 (T2I-Adapter), section 3.3.
timesteps: Registry[Any] = Registry("distribution of timesteps")
timesteps.add("uniform", lambda u: u)
timesteps.add("cubic", lambda u: 1 - u**3)


@dataclass(frozen=True)
class Pool:
    """Rows of one shape. `order` names those of a data set that ends, each as often as it counts."""

    rows: Rows
    order: list[int] = field(default_factory=list)

    @property
    def share(self) -> int:
        return len(self.order) or 1

    def pick(self, most: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """The numbers of n of the first `most` rows, which are made where they are not yet."""
        order = [row for row in self.order if row < most]
        rows = max(order) + 1 if order else most
        self.rows.grow(rows)
        picks = rng.integers(0, len(order) or rows, n)
        return np.array(order)[picks] if order else picks


class Finetuning:
    """E || out(x_t, t, text, ...) - target ||^2 around a frozen pipeline."""

    def __init__(self, config: TrainConfig, folder: Path):
        assert isinstance(config.task, FinetuningTask)
        self.config, self.options = config, config.task
        self.times = timesteps.get(self.options.timesteps)
        self.base = Pretrained(Path(self.options.base), config.device)
        if config.data.size % (2 * self.base.factor):
            raise InvalidRequest(f"The size must be a multiple of {2 * self.base.factor}.", field="data.size")
        if self.options.gradient_checkpointing:
            self.base.unet.enable_gradient_checkpointing()
        self.data = datasets.get(config.data.name)(**config.data.options())
        self.pools = self._pools(folder.parent / "rows")
        self.shares = np.array([pool.share for pool in self.pools], float)
        torch.manual_seed(config.seed)

    def _pools(self, folder: Path) -> "list[Pool]":
        """The rows, apart by the shape of their pictures: a batch is of one shape."""
        buckets, key = getattr(self.data, "buckets", None), self.row_key()
        if buckets is None:
            return [Pool(Rows(folder, key, self.make_rows))]
        pools = []
        for shape, indices in buckets.items():
            if any(side % (2 * self.base.factor) for side in shape):
                raise InvalidRequest(
                    f"This base needs a larger size for buckets than {self.config.data.size}.", field="data.size"
                )
            make = partial(self._rows_of, indices)
            rows = Rows(folder, [*key, self.data.version, *shape], make, len(indices))
            pools.append(Pool(rows, [row for row, i in enumerate(indices) for _ in range(self.data.repeats(i))]))
        return pools

    def _rows_of(self, indices: Sequence[int], rows: range) -> tuple[Arrays, Captions]:
        return self.make_rows([indices[i] for i in rows])

    # What a subclass gives:

    def trained(self) -> nn.Module:
        """The module whose parameters are trained."""
        raise NotImplementedError

    def predict(self, x_t: Tensor, t: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The network's output for noised latents."""
        raise NotImplementedError

    def picture(self, index: int, image: np.ndarray) -> np.ndarray:
        """What is learned of a picture [h, w, 3] of the data set."""
        return image

    def caption(self, text: str) -> str:
        """What is learned of a caption."""
        return text

    def embed(self, caption: str) -> dict[str, Tensor]:
        """What a batch holds of a caption."""
        return dict(self.base.embed(caption))

    def make_rows(self, rows: Sequence[int]) -> tuple[Arrays, Captions]:
        """The arrays of the rows, `x0` (latents) among them, and their captions."""
        retell = getattr(self.data, "retellings", None)
        latents, captions = [], []
        for part in in_parts(rows):
            examples = [self.data[i] for i in part]
            pictures = [self.picture(i, e.image) for i, e in zip(part, examples, strict=True)]
            latents.append(self.base.encode(to_tensor(np.stack(pictures))).cpu().numpy())
            for i, example in zip(part, examples, strict=True):
                more = retell(i, self.options.captions - 1) if retell else []
                captions.append([self.caption(text) for text in (example.caption, *more)])
        return {"x0": np.concatenate(latents).astype(np.float16)}, captions

    def row_key(self) -> list[Any]:
        """All that the rows depend on."""
        task, base = self.options, Path(self.options.base)
        return [task.kind, file_hash(base / "vae"), self.config.data.key(), task.captions]

    def hidden(self, name: str, parameter: Tensor) -> bool:
        """Whether Muon may take the parameter."""
        return parameter.ndim in (2, 4) and not name.startswith(ENDS)

    def draw(self, prompts: Sequence[str], generators: list[torch.Generator], **options: Any) -> list[Image.Image]:
        """Samples by the stock pipeline."""
        raise NotImplementedError

    # The learner, as the trainer calls it:

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.trained()}

    def groups(self) -> list[Group]:
        return [Group(tuple(self.trained().named_parameters()), hidden=self.hidden)]

    def batch(self, step: int) -> dict[str, Tensor]:
        n, task = self.config.batch, self.options
        rng = np.random.default_rng((self.config.seed, step))
        pool = self.pools[int(rng.choice(len(self.pools), p=self.shares / self.shares.sum())) if self.pools[1:] else 0]
        picks = pool.pick(min(task.pictures, FIRST_ROWS + step * n // 2), n, rng)
        choices = [pool.rows.captions[i] for i in picks]
        texts = [several[int(k * len(several))] for several, k in zip(choices, rng.random(n), strict=True)]
        left_out = rng.random(n) < task.unconditional
        embedded = [self.embed("" if out else text) for text, out in zip(texts, left_out, strict=True)]
        u = (rng.permutation(n) + rng.random(n)) / n  # stratified: every batch sees all noise levels
        last = len(self.base.alphas) - 1
        arrays = {name: torch.from_numpy(array[picks]) for name, array in pool.rows.arrays.items()}
        eps = rng.standard_normal(arrays["x0"].shape, dtype=np.float32)
        return {
            "u": torch.from_numpy(u),
            "eps": torch.from_numpy(eps),
            **arrays,
            **{name: torch.stack([e[name] for e in embedded]) for name in embedded[0]},
            "t": torch.from_numpy((self.times(u) * (last + 1)).astype(np.int64)).clamp(0, last),
        }

    def loss(self, step: int, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        x0, eps, t = batch["x0"].float(), batch["eps"], batch["t"]  # [n, c, h, w], [n]
        alpha, sigma = self.base.scales(t)
        out = self.predict(alpha * x0 + sigma * eps, t, batch).float()
        error = (out - self.base.objective.target(x0, eps, alpha, sigma)).square().mean(dim=(1, 2, 3))  # [n]
        early = t > 0.4 * len(self.base.alphas)  # mostly noise: where text and maps decide
        figures = {"noisy": error[early], "clear": error[~early]}
        return error.mean(), {name: e.mean().detach() for name, e in figures.items() if len(e)}

    def sample(self, step: int) -> Image.Image | None:
        prompts = self.options.sample_prompts
        if not prompts:
            return None
        generators = [torch.Generator().manual_seed(k) for k in range(len(prompts))]
        options = {"num_inference_steps": self.options.sample_steps, "guidance_scale": self.options.sample_cfg}
        pictures = self.draw(prompts, generators, **options)
        return sheet(pictures, columns=8)

    def evaluate(self) -> dict[str, float]:
        return {}

    def compiled(self, module: nn.Module) -> Any:
        return torch.compile(module) if self.config.compile else module


def in_parts(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many as are encoded at once."""
    for start in range(0, len(rows), ENCODED_AT_ONCE):
        yield rows[start : start + ENCODED_AT_ONCE]
