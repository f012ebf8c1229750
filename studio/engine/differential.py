"""Differential Diffusion (Levin and Fried 2023): how much of a picture changes, pixel by pixel, as a grey mask says.

THIS OBSERVER CHANGES THE LATENTS. After each of the scheduler's calls it puts the known picture, under the noise of the
level reached, back wherever the mask is darker than the share of the noise that is still to go (their algorithm 1, by
amplitude of the noise in place of the number of the step, of which most would be at levels that leave little as it was).
Black stays as it is, white is the model's from the first step on, so that a hard mask is inpainting with a model that was
never trained for it. Depends on no pipeline.
"""

from typing import Any

import torch
import torch.nn.functional as F

from studio.engine.layout import Spatial
from studio.engine.observers import Observer
from studio.engine.schedulers.beginning import begins_at


class DifferentialDiffusion(Observer):
    """Until `begin` it changes nothing."""

    def __init__(self, layout: Spatial):
        self._layout = layout
        self._known: torch.Tensor | None = None
        self._place: int | None = None  # in the grid, of the state that the latest call made
        self._start = 1.0  # the share of noise at which the run began

    def begin(self, known: torch.Tensor, noise: torch.Tensor, change: torch.Tensor) -> None:
        """`known` and `noise` (n, c, h, w): the latents of the picture as it is, and what they are put under; `change`
        (height, width) in 0..1, at the size of the picture."""
        self._known, self._noise, self._place = known, noise, None
        cells = F.interpolate(change[None, None], known.shape[-2:], mode="area")
        self._change = cells.to(known.device, torch.float32).expand_as(known)

    def before_call(self, scheduler: Any, timestep: Any) -> None:
        if self._known is not None and self._place is None:
            self._place, self._start = begins_at(scheduler, timestep), noise_share(scheduler, timestep)

    def after_call(self, scheduler: Any, sample: torch.Tensor) -> torch.Tensor:
        if self._known is None or self._place is None:
            return sample
        self._place += 1
        if getattr(scheduler, "step_ended", None) is False:  # within the step of an adaptive solver
            return sample
        following = next_timestep(scheduler, self._place)
        if following is None:
            known, still = self._known, 0.0
        else:
            known = with_noise(scheduler, self._known, self._noise, following)
            still = noise_share(scheduler, following) / max(self._start, 1e-6)
        kept = (self._change <= 0) | (self._change < still)
        kept, known = (self._as_state(each, sample) for each in (kept.to(known.dtype), known))
        return torch.where(kept > 0.5, known.to(sample.dtype), sample)

    def _as_state(self, tensor: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """In the layout of the scheduler's state, and once for each of its rows."""
        tensor = self._layout.folded(tensor.to(sample.device), sample)
        return tensor.repeat(len(sample) // len(tensor), *(1,) * (tensor.ndim - 1))


def next_timestep(scheduler: Any, place: int) -> torch.Tensor | None:
    """The timestep of the grid's place; None past its end. An adaptive scheduler finds its grid as it goes."""
    if hasattr(scheduler, "next_timestep"):
        return None if scheduler.done else scheduler.next_timestep
    timesteps = scheduler.timesteps
    return timesteps[place] if place < len(timesteps) else None


def noise_share(scheduler: Any, timestep: Any) -> float:
    """How much of a level is noise, 0 to 1, by amplitude at a variance of one, whatever the scheduler's convention."""
    nothing, one, at = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), torch.as_tensor(timestep).flatten()[:1]
    signal, noise = (float(with_noise(scheduler, *pair, at)) for pair in ((one, nothing), (nothing, one)))
    return noise / max((signal**2 + noise**2) ** 0.5, 1e-8)


def with_noise(scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """`latents` (n, ...) under the noise of one level, in the scheduler's own convention."""
    rows = timestep.reshape(1).expand(len(latents)).to(latents.device)
    if hasattr(scheduler, "add_noise"):
        return scheduler.add_noise(latents, noise, rows)
    return scheduler.scale_noise(latents, rows, noise)
