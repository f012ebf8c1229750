"""What the form of a race offers for a model: the samplers that it may use with their spacings, and what it starts with."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from studio.core.models import MODEL_KINDS, Choice, Defaults, ModelInfo
from studio.core.options import find_model, options_for
from studio.core.race import BUDGETS, Lane, is_stochastic
from studio.core.race_plan import own_reference_steps, usual_lanes
from studio.core.samplers import SOLVERS


class SamplerChoice(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    stochastic: bool
    spacings: tuple[Choice, ...]


class RaceMenu(BaseModel):
    model_config = ConfigDict(frozen=True)

    models: tuple[Choice, ...]
    model: str  # id of the one that all else is about
    defaults: Defaults
    prompted: bool
    guided: bool
    samplers: tuple[SamplerChoice, ...]
    lanes: tuple[Lane, ...]  # the usual ones
    evaluations: tuple[int, ...]
    reference_steps: int | None  # None: there is no reference


def menu_of(models: Sequence[ModelInfo], name: str) -> RaceMenu:
    """Raises UnknownName, or InvalidRequest where there is no model at all."""
    model = find_model(list(models), name)
    options = options_for(model)
    usable = [m for m in models if m.kind in MODEL_KINDS and not m.problem and (not m.hidden or m.id == model.id)]
    return RaceMenu(
        models=tuple(Choice(name=m.id, title=m.title, help=m.description) for m in usable if _draws(m)),
        model=model.id,
        defaults=model.defaults,
        prompted=model.capabilities.prompted,
        guided=model.capabilities.guided,
        samplers=tuple(
            SamplerChoice(
                name=choice.name,
                title=choice.title,
                stochastic=is_stochastic(choice.name),
                spacings=options.spacings[choice.name],
            )
            for choice in options.samplers
            if not SOLVERS.get(choice.name).adaptive
        ),
        lanes=usual_lanes(model),
        evaluations=BUDGETS,
        reference_steps=own_reference_steps(model),
    )


def _draws(model: ModelInfo) -> bool:
    return "text_to_image" in model.capabilities.tasks
