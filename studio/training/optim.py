"""Optimizers by name, and the schedule of the learning rate: warm-up, stable, decay.

Works on groups of parameters, each with a factor of the rate; independent of models.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from studio.core.registry import Registry
from studio.training.config import OptimizerConfig


@dataclass(frozen=True)
class Group:
    """Named parameters that share one factor of the learning rate. `hidden` names those that Muon may take."""

    parameters: tuple[tuple[str, nn.Parameter], ...]
    rate: float = 1.0
    hidden: Callable[[str, Tensor], bool] = lambda name, tensor: False


Builder = Callable[[Iterable[Group], OptimizerConfig], list[torch.optim.Optimizer]]
optimizers: Registry[Builder] = Registry("optimizer")


def rate_at(step: int, steps: int, config: OptimizerConfig) -> float:
    """Factor of the learning rate at `step` of `steps`: linear warm-up, 1, then linear to nearly 0 (WSD)."""
    warm = min(1.0, (step + 1) / (config.warmup + 1))
    decay_steps = max(1, round(steps * config.decay))
    return warm * min(1.0, (steps - step) / decay_steps)


def _adam_groups(named: Iterable[tuple[str, nn.Parameter]], lr: float, config: OptimizerConfig) -> list[dict[str, Any]]:
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for _, p in named:
        (matrices if p.ndim >= 2 else vectors).append(p)
    groups = [
        {"params": matrices, "lr": lr, "rate": lr, "weight_decay": config.weight_decay},
        {"params": vectors, "lr": lr, "rate": lr, "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]


@optimizers.register("adamw")
def adamw(groups: Iterable[Group], config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """AdamW (Loshchilov & Hutter 2019) on everything; no decay on vectors."""
    tables = [t for g in groups for t in _adam_groups(g.parameters, config.learning_rate * g.rate, config)]
    return [torch.optim.AdamW(tables, betas=config.betas, fused=True)]


@optimizers.register("muon")
def muon(groups: Iterable[Group], config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Muon on the hidden matrices and kernels, AdamW on embeddings, heads and vectors."""
    adam: list[dict[str, Any]] = []
    matrix: list[dict[str, Any]] = []
    for g in groups:
        hidden = [p for n, p in g.parameters if g.hidden(n, p)]
        rest = [(n, p) for n, p in g.parameters if not g.hidden(n, p)]
        if hidden:
            lr = config.matrix_learning_rate * g.rate
            matrix.append({"params": hidden, "lr": lr, "rate": lr})
        adam += _adam_groups(rest, config.learning_rate * g.rate, config)
    built: list[torch.optim.Optimizer] = [Muon(matrix, weight_decay=config.weight_decay)] if matrix else []
    return built + ([torch.optim.AdamW(adam, betas=config.betas, fused=True)] if adam else [])


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz (Jordan et al. 2024), with the step of an Adam update of that size.

    Kernels are taken as matrices [out, in * height * width]; matrices of one shape are orthogonalised in one batch.
    """

    def __init__(self, params: Any, lr: float = 0.01, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).reshape(p.shape[0], -1)  # Nesterov's look ahead
                by_shape[tuple(update.shape)].append((p, update))
            for (rows, columns), pairs in by_shape.items():
                updates = orthogonalised(torch.stack([u for _, u in pairs]))
                scale = -group["lr"] * 0.2 * max(rows, columns) ** 0.5  # root mean square of Adam's updates
                for (p, _), update in zip(pairs, updates, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update.reshape(p.shape).to(p.dtype), alpha=scale)


def orthogonalised(x: Tensor, steps: int = 5) -> Tensor:
    """[n, rows, columns] -> nearly U V^T of each; the quintic iteration of Muon, in bfloat16 where it is fast."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    y = x.mT if tall else x
    y = y / (y.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if bf16_is_fast(x.device.type):
        y = y.bfloat16()
    for _ in range(steps):
        gram = y @ y.mT
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.mT if tall else y


def bf16_is_fast(device: str) -> bool:
    """Whether bfloat16 computes faster than float32; on processors without it, matrices take ten times as long."""
    return device != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
