"""ControlNets: their pictures at the run's size, their weights, and the share of the steps in which they act."""

from typing import Any

from studio.core.parts.controlnet import ControlNet
from studio.engine.effects import PART_EFFECTS, Context, Effect


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
    return {name: rows[0] if len(rows) == 1 else rows for name, rows in values.items()}


PART_EFFECTS.add("controlnet", Effect(arguments))
