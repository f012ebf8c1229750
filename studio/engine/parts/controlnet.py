"""ControlNets: their pictures at the run's size, their weights, the share of the steps in which they act, and where."""

import functools
from contextlib import AbstractContextManager
from typing import Any

from studio.core.parts.controlnet import ControlNet
from studio.core.pictures import as_mask
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.parts.effect_masks import Mask, acting_within, as_tensor


def arguments(parts: tuple[ControlNet, ...], context: Context) -> dict[str, Any]:
    """One ControlNet's values as they are, several as lists. Where a call also starts from a picture, the control has its own
    name."""
    pictures = [context.framed(context.read_image(part.image).convert("RGB"), part.resize) for part in parts]
    values: dict[str, list[Any]] = {
        "control_image" if context.takes("control_image") else "image": pictures,
        "controlnet_conditioning_scale": [part.weight for part in parts],
        "control_guidance_start": [part.start for part in parts],
        "control_guidance_end": [part.end for part in parts],
    }
    if context.takes("control_mode") and any(part.control_mode is not None for part in parts):
        values["control_mode"] = [part.control_mode for part in parts]
    return {name: rows[0] if len(rows) == 1 else rows for name, rows in values.items()}


def around(parts: tuple[ControlNet, ...], context: Context) -> AbstractContextManager[None]:
    """A mask of effect is resized as the control image is, whose size it has where it was painted over it."""
    net = context.pipeline.controlnet
    nets = list(getattr(net, "nets", None) or [net])
    return acting_within(nets, [_mask(part, context) if part.mask else None for part in parts])


def _mask(part: ControlNet, context: Context) -> Mask:
    """Made once."""
    picture = as_mask(context.read_image(part.mask or ""))
    return functools.cache(lambda: as_tensor(context.framed(picture, part.resize)))


PART_EFFECTS.add("controlnet", Effect(arguments, around))
