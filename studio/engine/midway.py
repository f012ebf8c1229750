"""Image to image with pipelines that have no such class: the stock text-to-image loop begins midway (SDEdit, Meng et al. 2022).

The state at the first step that runs is the encoded picture under that step's noise; the steps before it are left out.
What is drawn, and in which order, is as in diffusers' image-to-image pipelines: the latent's sample, then the noise.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.engine.differential import with_noise
from studio.engine.effects import Context


class Remaining(torch.Tensor):
    """Timesteps of which iteration gives those from `begin` on. Everything else sees all of them, as a scheduler needs."""

    begin: int

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def of(timesteps: torch.Tensor, begin: int) -> "Remaining":
        remaining = timesteps.as_subclass(Remaining)
        remaining.begin = begin
        return remaining

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.as_subclass(torch.Tensor)[getattr(self, "begin", 0) :].unbind())


def noised(picture: Image.Image, context: Context) -> torch.Tensor:
    """(n, c, h, w): the picture's latents under the noise of the first step that runs, one row an image, as the pipeline's
    `latents` wants them (it multiplies by `init_noise_sigma` itself)."""
    scheduler = _scheduler(context)
    latents = encoded(picture, context, context.generators)
    noise = torch.cat([torch.randn(latents[:1].shape, generator=g, dtype=latents.dtype) for g in context.generators])
    scheduler.set_timesteps(context.request.steps)  # as `beginning` has it
    first = scheduler.timesteps[_begin(context)]
    return with_noise(scheduler, latents, noise.to(latents.device), first) / scheduler.init_noise_sigma


def encoded(picture: Image.Image, context: Context, generators: Sequence[torch.Generator | None]) -> torch.Tensor:
    """(n, c, h, w): the picture's latents as the pipeline denoises them, sampled with each generator, without one the
    likeliest; its pixels in -1..1 for a pipeline without an autoencoder."""
    vae = getattr(context.pipeline, "vae", None)
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0
    if vae is None:
        return pixels.expand(len(generators), -1, -1, -1)
    config, own = vae.config, vae.dtype
    upcast = own == torch.float16 and getattr(config, "force_upcast", False)  # as diffusers' own pipelines do
    # meta: its weights come when it is called
    here = context.loaded.device if vae.device.type == "meta" else vae.device
    try:
        if upcast:
            vae.to(torch.float32)
        made = vae.encode(pixels.to(here, vae.dtype))
        latents = torch.cat([_sample(made, generator) for generator in generators])
    finally:
        if upcast:
            vae.to(own)
    mean, spread = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is not None and spread is not None:
        mean, spread = (torch.tensor(each).view(1, -1, 1, 1).to(latents) for each in (mean, spread))
        return ((latents - mean) * config.scaling_factor / spread).to(own)
    return ((latents - (getattr(config, "shift_factor", None) or 0.0)) * config.scaling_factor).to(own)


@contextmanager
def beginning(context: Context) -> Iterator[None]:
    """For the length of a call the pipeline is left with the steps that remain; what `noised` asks is asked within it."""
    scheduler = _scheduler(context)
    set_timesteps, set_begin_index = scheduler.set_timesteps, getattr(scheduler, "set_begin_index", None)
    begin = _begin(context)

    @functools.wraps(set_timesteps)
    def from_midway(*args: Any, **kwargs: Any) -> None:
        set_timesteps(*args, **kwargs)
        grid = scheduler.timesteps  # one that is found as the run goes on knows how to begin midway
        scheduler.timesteps = grid.beginning_at(begin) if hasattr(grid, "beginning_at") else Remaining.of(grid, begin)
        if set_begin_index is not None:
            set_begin_index(begin)

    scheduler.set_timesteps = from_midway
    if set_begin_index is not None:  # pipelines that know of no midway set it to 0
        scheduler.set_begin_index = lambda begin_index=0: set_begin_index(begin)
    try:
        yield
    finally:
        for name in ("set_timesteps", "set_begin_index"):
            vars(scheduler).pop(name, None)


def _scheduler(context: Context) -> Any:
    if not context.takes("latents") or not hasattr(context.pipeline, "vae"):
        raise InvalidRequest(f"{context.loaded.info.title} cannot start from a picture.", field="model")
    return getattr(context.pipeline, context.loaded.family.scheduler)


def _begin(context: Context) -> int:
    """The place in the grid of the first call of the first step that runs."""
    request = context.request
    run = request.task.steps_run(request.steps, context.loaded.info.capabilities.partial_steps)
    return (request.steps - run) * int(getattr(_scheduler(context), "order", 1))


def _sample(encoded: Any, generator: torch.Generator | None) -> torch.Tensor:
    distribution = getattr(encoded, "latent_dist", None)
    if distribution is None:
        return encoded.latents
    return distribution.mode() if generator is None else distribution.sample(generator)
