"""Watches the decoder and the denoiser of a run, so that neither overflow nor a lack of memory costs what is already done.

A picture that overflowed in half precision is decoded once more in fp32, or refused: pipelines turn NaN into pure black
without a word. A decoding or a forward that is out of memory is called again with the same numbers, after one more fallback.
Knows modules with a `decode` method, or a `forward`, and nothing of families.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from studio.engine.tap import check_finite
from studio.manager.memory.fallbacks import DECODE, DENOISE, Fallbacks

HALF = (torch.float16, torch.bfloat16)
COLOURS = 3  # some decoders give transparency after them


@contextmanager
def watched_decoder(
    pipeline: Any,
    name: str | None,
    fallbacks: Fallbacks,
    on_decode: Callable[[torch.Tensor, torch.Tensor], None] | None = None,  # (latents, pixels) as the decoder has them
) -> Iterator[list[str]]:
    """Check what `pipeline.<name>.decode` returns for the length of a `with`; yields the notes for the recipe."""
    notes: list[str] = []
    decoder = getattr(pipeline, name, None) if name else None
    if decoder is None:
        yield notes
        return
    original = decoder.decode

    def once(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        with fallbacks.decoding():
            here = next(decoder.parameters()).device
            moved = latents if here.type == "meta" else latents.to(here)  # meta: its weights come when it is called
            output = original(moved, *args, **kwargs)
            if not _finite(output) and next(decoder.parameters()).dtype in HALF:
                notes.append(f"{name} overflowed in half precision and decoded in fp32")
                output = _in_fp32(decoder, original, moved, args, kwargs)
            return _moved(output, latents.device)

    def decode(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        output = fallbacks.retry(DECODE, lambda: once(latents, *args, **kwargs))
        check_finite(_tensor(output), "in the decoder")
        if on_decode is not None:
            on_decode(_still(latents), _still(_tensor(output))[:, :COLOURS])
        return output

    decoder.decode = decode
    try:
        yield notes
    finally:
        del decoder.decode


@contextmanager
def with_fallbacks(denoiser: torch.nn.Module, fallbacks: Fallbacks) -> Iterator[None]:
    """While it lasts, a forward of the denoiser that is out of memory takes a fallback and is called again."""
    original, own = denoiser.forward, "forward" in vars(denoiser)

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return fallbacks.retry(DENOISE, lambda: original(*args, **kwargs))

    denoiser.forward = forward
    try:
        yield
    finally:
        if own:
            denoiser.forward = original
        else:
            del denoiser.forward


def _in_fp32(decoder: Any, original: Any, latents: torch.Tensor, args: Any, kwargs: Any) -> Any:
    """The same weights in fp32 and back again, which is exact both ways."""
    dtype = next(decoder.parameters()).dtype
    decoder.to(torch.float32)
    try:
        return original(latents.float(), *args, **kwargs)
    finally:
        decoder.to(dtype)


def _moved(output: Any, device: torch.device) -> Any:
    """The decoder's answer where its caller expects it; unchanged where it is there."""
    if isinstance(output, tuple):
        return (output[0].to(device), *output[1:])
    output.sample = output.sample.to(device)
    return output


def _tensor(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output.sample


def _still(tensor: torch.Tensor) -> torch.Tensor:
    """(n, c, 1, h, w), as autoencoders of video have one picture, to (n, c, h, w)"""
    return tensor.squeeze(2) if tensor.ndim == 5 and tensor.shape[2] == 1 else tensor


def _finite(output: Any) -> bool:
    return bool(torch.isfinite(_tensor(output)).all())
