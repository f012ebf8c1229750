"""Requests made from the recipe of a picture: that of a branch, and that of the same run with its attention recorded. Pure."""

from collections.abc import Mapping
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.parts import Attention, Branch
from studio.core.recipe import Recipe
from studio.core.request import GenerationRequest, parse_request

# What may differ from the branch's first step on; "seed" is that of the noise from there, "attention" whether it is recorded.
CHANGES = (
    "prompt",
    "negative_prompt",
    "guidance_scale",
    "guidance_rescale",
    "clip_skip",
    "sampler",
    "syntax",
    "seed",
    "attention",
)


def branch_of(recipe: Recipe, step: int, changes: Mapping[str, Any]) -> GenerationRequest:
    """Of the one image of the recipe, from `step` on; what is not among `changes` is the image's own. Raises InvalidRequest."""
    if (unknown := next((name for name in changes if name not in CHANGES), None)) is not None:
        raise InvalidRequest(f"A branch cannot change {unknown[:40]!r}. It can change: {', '.join(CHANGES)}.")
    if recipe.pixels is None:
        raise InvalidRequest("The recipe does not say which picture it is of, so no trace can be found.")
    request, given = recipe.as_run, {name: value for name, value in changes.items() if value is not None}
    parts = [part.model_dump() for part in request.parts if not isinstance(part, Branch | Attention)]
    parts.append({"kind": "branch", "image": recipe.pixels, "step": step, "seed": given.pop("seed", None)})
    if given.pop("attention", False):
        parts.append({"kind": "attention", "image": recipe.pixels})
    return parse_request(_alone(recipe) | {"parts": parts} | given)


def attention_of(recipe: Recipe, values: Mapping[str, Any]) -> GenerationRequest:
    """The run of the recipe's one image once more, with its attention recorded; `values` are the part's. Raises InvalidRequest."""
    if (unknown := next((name for name in values if name not in ("side", "heads")), None)) is not None:
        raise InvalidRequest(f"Attention has no setting {unknown[:40]!r}. It has: side, heads.")
    parts = [part.model_dump() for part in recipe.request.parts if not isinstance(part, Attention)]
    parts.append({"kind": "attention", "image": recipe.pixels} | dict(values))
    return parse_request(_alone(recipe) | {"parts": parts})


def _alone(recipe: Recipe) -> dict[str, Any]:
    """The fields of the recipe's request for this image and no other."""
    own = {"model": recipe.model, "seed": recipe.seed, "count": 1, "batch_size": 1}
    return recipe.as_run.model_dump() | own
