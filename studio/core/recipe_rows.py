"""A recipe as rows of a title and a text, in the words of the form, for people to read and compare.

Depends on the fields of request, task and parts alone, so a new part shows up without a change here.
"""

from typing import Any

from pydantic import BaseModel

from studio.core.fields import FieldSpec, specs
from studio.core.recipe import Recipe
from studio.core.samplers import SOLVERS, SPACINGS
from studio.core.tasks import TextToImage

Row = tuple[str, str]
# Fields of the request that have rows of their own, or say nothing of how this one picture looks.
ELSEWHERE = frozenset({"prompt", "negative_prompt", "model", "seed", "width", "height", "dtype", "task", "parts"})
OF_THE_JOB = frozenset({"count", "batch_size", "previews"})
HASH_SHOWN = 12


def rows(recipe: Recipe) -> list[Row]:
    """What decided the picture: first what a person sets, then what the run added. Titles are unique."""
    request = recipe.request
    found: list[Row] = [("Prompt", request.prompt), ("Negative prompt", request.negative_prompt)]
    found += [("Model", recipe.model_title), ("Seed", str(recipe.seed))]
    found.append(("Size", f"{request.width} × {request.height}" if request.width and request.height else ""))
    found += _of_value(request, ELSEWHERE | OF_THE_JOB)
    if not isinstance(request.task, TextToImage):
        found += [("Task", request.task.title), *_of_value(request.task)]
    for number, part in enumerate(request.parts, 1):
        found += [(f"Part {number}, {part.title}: {title}", text) for title, text in _of_value(part)]
    found += [("Precision", recipe.dtype), ("Device", recipe.device), ("Attention", recipe.attention)]
    found += [("Pipeline", recipe.pipeline), ("Scheduler", recipe.scheduler)]
    found += [(f"Weights of {name}", digest[:HASH_SHOWN]) for name, digest in recipe.weights.items()]
    found.append(("Libraries", ", ".join(f"{name} {version}" for name, version in recipe.libraries.items())))
    found.append(("Notes", "; ".join(recipe.notes)))
    return [(title, text) for title, text in found if text]


def _of_value(value: BaseModel, without: frozenset[str] = frozenset()) -> list[Row]:
    fields = specs(type(value)).items()
    return [(spec.title, _plain(spec, getattr(value, name))) for name, spec in fields if name not in without]


def _plain(spec: FieldSpec, value: Any) -> str:
    """As the form writes it; empty for what is not set."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(_plain(spec, each) for each in value)
    if spec.kind == "image":
        return str(value)[:HASH_SHOWN]
    if spec.name == "sampler" and value in SOLVERS:
        return SOLVERS.get(value).title
    if spec.name == "spacing" and value in SPACINGS:
        return SPACINGS.get(value).title
    return dict(spec.choices).get(value, str(value))
