"""A residual MLP that denoises points of the plane, with diffusers' way of writing its config. Small enough for a browser.

`static/lab_mlp.js` evaluates the same network from its safetensors; a test compares the two.
"""

import math

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn.functional import silu

STEPS = 1000  # of the time that the network reads
PLACE_FREQUENCIES = tuple(math.pi / 4 * 2**k for k in range(4))
TIME_FREQUENCIES = tuple(math.pi / 2 * 2**k for k in range(6))


def waves(values: Tensor, frequencies: tuple[float, ...]) -> Tensor:
    """[n, d] -> [n, d (1 + 2 f)]: the values, then sine and cosine at each frequency."""
    parts = [values]
    for frequency in frequencies:
        parts += [torch.sin(frequency * values), torch.cos(frequency * values)]
    return torch.cat(parts, dim=1)


class Block(nn.Module):
    def __init__(self, hidden: int):
        super().__init__()
        self.inner = nn.Linear(hidden, hidden)
        self.time = nn.Linear(hidden, hidden, bias=False)
        self.outer = nn.Linear(hidden, hidden)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        return h + self.outer(silu(self.inner(h) + self.time(time)))


class PointMLP(ModelMixin, ConfigMixin):
    """Points [n, 2], times [n] in 0..1000, classes [n] and guidance scales w [n] -> [n, 2].

    Class number `classes` means: no class. Only few-step students read the scale.
    """

    @register_to_config
    def __init__(self, hidden: int = 64, layers: int = 4, classes: int = 0, guided: bool = False):
        super().__init__()
        self.place = nn.Linear(2 * (1 + 2 * len(PLACE_FREQUENCIES)), hidden)
        self.time = nn.Linear(1 + 2 * len(TIME_FREQUENCIES), hidden)
        self.label = nn.Embedding(classes + 1, hidden) if classes else None
        self.guidance = nn.Linear(1 + 2 * len(PLACE_FREQUENCIES), hidden, bias=False) if guided else None
        if self.guidance is not None:
            nn.init.zeros_(self.guidance.weight)
        self.blocks = nn.ModuleList(Block(hidden) for _ in range(layers))
        self.out = nn.Linear(hidden, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, w: Tensor | None = None) -> Tensor:
        t = torch.as_tensor(t, device=x.device, dtype=x.dtype).expand(len(x)) / STEPS
        time = self.time(waves(t[:, None], TIME_FREQUENCIES))  # [n, hidden]
        if self.label is not None:
            if label is None:
                label = torch.full((len(x),), self.label.num_embeddings - 1, device=x.device)
            time = time + self.label(label)
        if self.guidance is not None and w is not None:
            time = time + self.guidance(waves(w[:, None].to(x) / 8, PLACE_FREQUENCIES))
        time = silu(time)
        h = self.place(waves(x, PLACE_FREQUENCIES))
        for block in self.blocks:
            h = block(h, time)
        return self.out(silu(h))
