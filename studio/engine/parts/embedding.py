"""Embeddings: their words are known to the tokenizers and encoders while these are leased, so the call is the same."""

from typing import Any

from studio.core.parts.embedding import Embedding
from studio.engine.effects import PART_EFFECTS, Context, Effect


def arguments(parts: tuple[Embedding, ...], context: Context) -> dict[str, Any]:
    """Adds nothing to the call; an embedding whose word nobody wrote is noted."""
    text = f"{context.request.prompt} {context.request.negative_prompt}".lower()
    context.notes.extend(
        f"The embedding {part.token} did nothing: its name is in neither prompt."
        for part in parts
        if part.token.lower() not in text
    )
    return {}


PART_EFFECTS.add("embedding", Effect(arguments))
