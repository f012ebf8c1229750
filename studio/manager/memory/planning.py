"""What a run will need: who would be in memory at each stage, and the peak, from headers alone. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studio.core.errors import ModelError
from studio.core.memory import PlannedPart, PlannedStage, PlanRequest, PlanView
from studio.core.models import ModelInfo
from studio.core.options import find_model, resolve_parts
from studio.core.parts import PartBase
from studio.core.request import GenerationRequest, parse_request
from studio.core.sizes import size_of
from studio.core.stages import stages_of
from studio.manager.disk.catalog import Catalog
from studio.manager.families import family_for
from studio.manager.loading import Source, folder_sources
from studio.manager.memory.estimate import Shape, file_weights, run_of, shape_of
from studio.manager.memory.fallbacks import NOTES, first_that_fits, variants
from studio.manager.memory.planner import Plan, Stage, plan, together
from studio.manager.parts import Context, ModelParts


@dataclass(frozen=True)
class Forecast:
    """One model's run with its plan. `whole`: the model stays in memory from first to last."""

    info: ModelInfo
    shape: Shape
    budget: int
    stages: tuple[Stage, ...]
    plan: Plan
    whole: bool
    notes: tuple[str, ...] = ()  # what the budget asks of the run beside that: "decoded in tiles"


def plan_of(planned: PlanRequest, catalog: Catalog, info: ModelInfo, path: Path, budget: int, device: str) -> PlanView:
    """Of a run of this model with the usual parts, at the size asked for or its own. Raises as `forecast` does."""
    sizes = {"width": planned.width, "height": planned.height, "batch_size": planned.batch, "count": planned.batch}
    request = parse_request({"model": info.id} | sizes)
    width, height = size_of(request, info)
    request = request.model_copy(update={"width": width, "height": height})
    request = request.model_copy(update={"parts": resolve_parts(request, info, catalog.models())})
    return view(forecasts(catalog, request, info, path, budget, planned.dtype, device))


def forecasts(
    catalog: Catalog, request: GenerationRequest, info: ModelInfo, path: Path, budget: int, dtype: str, device: str
) -> list[Forecast]:
    """Of each stage of a resolved request, whose first model `info` is; each is planned for the whole budget. Raises as
    `forecast` does."""
    out = []
    for stage in stages_of(request, info):
        model = info if stage.model == info.id else find_model(catalog.models(), stage.model)
        place = path if model is info else catalog.path(model.id)
        if place is None:
            raise ModelError(f"{model.title} is no longer in the models folders.")
        shape = shape_of(model, stage.request)
        out.append(forecast(model, place, budget, shape, dtype, device, catalog, stage.request.parts))
    return out


def forecast(
    info: ModelInfo,
    path: Path,
    budget: int,
    shape: Shape,
    dtype: str,
    device: str,
    catalog: Catalog | None = None,  # has what completes a single file, and the models of parts
    parts: Sequence[PartBase] = (),
) -> Forecast:
    """Raises ModelError for a file that holds no whole model, OutOfMemory with the arithmetic if no plan exists."""
    family, catalog = family_for(info), catalog or Catalog((), None)
    if path.is_dir():
        known, own = {}, folder_sources(path, family)
    else:  # the components that it will be converted to
        known = file_weights(path, family, catalog.beside(info))
        classes = family.blueprint.parts if family.blueprint else {}
        own = {name: Source(name, *classes[name], path, (), dict(w.config)) for name, w in known.items()}
    if info.problem or not own:
        why = info.problem or "its family has no layout for single files"
        raise ModelError(f"{info.title} cannot be planned: {why}")
    run = run_of(ModelParts(parts, Context(info, family, own, catalog)), shape, dtype, device, known)
    (names, stages), made = first_that_fits(variants(run), lambda stages: plan(stages, (), budget))
    every = together(stages)
    whole = every.bytes <= budget
    if whole:
        made = plan([replace(stage, parts=every.parts) for stage in stages], (), budget)
    return Forecast(info, shape, budget, tuple(stages), made, whole, tuple(NOTES[name] for name in names))


def view(planned: list[Forecast]) -> PlanView:
    """The forecasts as plain values."""
    last, several = planned[-1], len(planned) > 1
    return PlanView(
        budget=last.budget,
        peak=max(each.plan.peak for each in planned),
        whole=all(each.whole for each in planned),
        width=last.shape.width,
        height=last.shape.height,
        stages=tuple(
            PlannedStage(
                name=stage.name,
                model=each.info.title if several else "",
                parts=tuple(
                    PlannedPart(component=key, bytes=size, streamed=key in each.plan.streamed)
                    for key, size in each.plan.resident[stage.name].items()
                ),
                working=stage.activation,
                peak=each.plan.peaks[stage.name],
            )
            for each in planned
            for stage in each.stages
        ),
        notes=tuple(dict.fromkeys(note for each in planned for note in each.notes)),
    )
