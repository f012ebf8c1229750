"""Watches the decoder of a run: a picture that overflowed in half precision is decoded once more in fp32, or refused.

Pipelines turn NaN into pure black without a word; this stands before that. Knows modules with a `decode` method and
nothing of families.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from studio.engine.tap import check_finite

HALF = (torch.float16, torch.bfloat16)


@contextmanager
def watched_decoder(
    pipeline: Any,
    name: str | None,
    on_decode: Callable[[torch.Tensor, torch.Tensor], None] | None = None,  # (latents, pixels) as the decoder has them
) -> Iterator[list[str]]:
    """Check what `pipeline.<name>.decode` returns for the length of a `with`; yields the notes for the recipe."""
    notes: list[str] = []
    decoder = getattr(pipeline, name, None) if name else None
    if decoder is None:
        yield notes
        return
    original = decoder.decode

    def decode(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        output = original(latents, *args, **kwargs)
        if not _finite(output) and next(decoder.parameters()).dtype in HALF:
            notes.append(f"{name} overflowed in half precision and decoded in fp32")
            output = _in_fp32(decoder, original, latents, args, kwargs)
        check_finite(_tensor(output), "in the decoder")
        if on_decode is not None:
            on_decode(latents, _tensor(output))
        return output

    decoder.decode = decode
    try:
        yield notes
    finally:
        del decoder.decode


def _in_fp32(decoder: Any, original: Any, latents: torch.Tensor, args: Any, kwargs: Any) -> Any:
    """The same weights in fp32 and back again, which is exact both ways."""
    dtype = next(decoder.parameters()).dtype
    decoder.to(torch.float32)
    try:
        return original(latents.float(), *args, **kwargs)
    finally:
        decoder.to(dtype)


def _tensor(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output.sample


def _finite(output: Any) -> bool:
    return bool(torch.isfinite(_tensor(output)).all())
