"""Euler ancestral on every named spacing."""

import torch
from diffusers import EulerAncestralDiscreteScheduler as Upstream

from studio.engine.schedulers.grids import Grid


class EulerAncestralDiscreteScheduler(Upstream):
    """diffusers', which knows the spacings of timesteps alone, with every named spacing."""

    timesteps: torch.Tensor

    def lay_out(self, grid: Grid) -> None:
        device = self.timesteps.device
        self.sigmas = torch.tensor([*grid.sigmas, 0.0], dtype=torch.float32)
        self.timesteps = torch.tensor(grid.timesteps, dtype=torch.float32, device=device)
