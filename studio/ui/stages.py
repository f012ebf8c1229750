"""What the form says about a model that works in stages: how far each size goes, and what the upper stages use on their own."""

from studio.core.models import ModelInfo
from studio.ui.fields import shown


def sizes_note(model: ModelInfo) -> str:
    """For each size one line with the stages that a run of it takes; empty for a model of one stage."""
    if model.cascade is None:
        return ""
    titles = [f"{model.title} alone", *(f"then {enlarger.title}" for enlarger in model.cascade.enlargers)]
    sizes = [f"{width} × {height}" for width, height in model.cascade.sizes()]
    return "\n".join(f"{size}: {title}" for size, title in zip(sizes, titles, strict=True))


def upper_values(model: ModelInfo) -> dict[str, str]:
    """The enlargers' own values by the field of the part `cascade`."""
    enlargers = model.cascade.enlargers if model.cascade else ()
    names = ("steps", "guidance_scale", "noise_level")
    return {n: ", ".join(dict.fromkeys(shown(getattr(each, n)) for each in enlargers)) for n in names}
