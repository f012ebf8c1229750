"""T2I-Adapters: their pictures at the run's size, in the channels that they were trained on, their weights, and where."""

import functools
from contextlib import AbstractContextManager
from typing import Any

from studio.core.parts import T2IAdapter
from studio.core.pictures import as_mask
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.parts.effect_masks import Mask, acting_within, as_tensor


def arguments(parts: tuple[T2IAdapter, ...], context: Context) -> dict[str, Any]:
    pictures = [
        context.framed(
            context.read_image(part.image).convert("L" if net.config.in_channels == 1 else "RGB"), part.resize
        )
        for part, net in zip(parts, _nets(context), strict=True)
    ]
    values: dict[str, list[Any]] = {"image": pictures, "adapter_conditioning_scale": [part.weight for part in parts]}
    return {name: rows[0] if len(rows) == 1 else rows for name, rows in values.items()}


def around(parts: tuple[T2IAdapter, ...], context: Context) -> AbstractContextManager[None]:
    return acting_within(_nets(context), [_mask(part, context) if part.mask else None for part in parts])


def _nets(context: Context) -> list[Any]:
    adapter = context.pipeline.adapter
    return list(getattr(adapter, "adapters", None) or [adapter])


def _mask(part: T2IAdapter, context: Context) -> Mask:
    """Made once."""
    picture = as_mask(context.read_image(part.mask or ""))
    return functools.cache(lambda: as_tensor(context.framed(picture, part.resize)))


PART_EFFECTS.add("t2i_adapter", Effect(arguments, around))
