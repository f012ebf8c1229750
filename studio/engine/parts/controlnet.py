"""ControlNets: their pictures at the run's size, their weights, the share of the steps in which they act, and where."""

from contextlib import AbstractContextManager
from typing import Any

from studio.core.parts.controlnet import ControlNet
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.parts.effect_masks import acting_within, mask_of


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
    net = context.pipeline.controlnet
    nets = list(getattr(net, "nets", None) or [net])
    return acting_within(nets, [mask_of(part, context) for part in parts])


PART_EFFECTS.add("controlnet", Effect(arguments, around))
