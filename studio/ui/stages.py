"""What the form says of the sizes of a model that works in stages."""

from studio.core.models import ModelInfo


def sizes_note(model: ModelInfo | None) -> str:
    """A line for each size that says how far the run goes then; empty for a model that is one alone."""
    if model is None or model.cascade is None:
        return ""
    titles = [f"{model.title} alone", *(f"then {enlarger.title}" for enlarger in model.cascade.enlargers)]
    sizes = [f"{width} × {height}" for width, height in model.cascade.sizes()]
    return "\n".join(f"{size}: {title}" for size, title in zip(sizes, titles, strict=True))
