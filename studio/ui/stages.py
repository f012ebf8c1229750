"""What the form shows for a model that works in stages: which sizes take which, and the settings of the upper ones."""

from typing import Any

from studio.core.cascade import FIELDS
from studio.core.models import ModelInfo
from studio.ui.fields import shown

_OF_ENLARGER = dict(zip(FIELDS, ("steps", "guidance_scale", "noise_level"), strict=True))


def stage_props(model: ModelInfo | None) -> dict[str, dict[str, Any]]:
    """Props of the controls by the field's name; without stages the controls are not there."""
    cascade = model.cascade if model else None
    enlargers = cascade.enlargers if cascade else ()
    props: dict[str, dict[str, Any]] = {}
    for name, own in _OF_ENLARGER.items():
        values = dict.fromkeys(shown(getattr(enlarger, own)) for enlarger in enlargers)
        props[name] = {"absent": cascade is None, "placeholder": ", ".join(values)}
    return props


def sizes_note(model: ModelInfo | None) -> str:
    """A line for each size that says how far the run goes then; empty for a model that is one alone."""
    if model is None or model.cascade is None:
        return ""
    titles = [f"{model.title} alone", *(f"then {enlarger.title}" for enlarger in model.cascade.enlargers)]
    sizes = [f"{width} × {height}" for width, height in model.cascade.sizes()]
    return "\n".join(f"{size}: {title}" for size, title in zip(sizes, titles, strict=True))
