"""`models plan`: who would be in memory at each stage of a run, and the peak, from headers alone. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from studio.core.errors import ModelError
from studio.core.memory import PlannedPart, PlannedStage, PlanView
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.companions import Origin
from studio.manager.disk.headers import read_header
from studio.manager.families import family_for
from studio.manager.memory.estimate import NOTHING, Shape, file_weights, folder_weights, with_vae
from studio.manager.memory.fallbacks import NOTES, first_that_fits, variants
from studio.manager.memory.planner import DoesNotFit, Plan, Stage, mib, plan


@dataclass(frozen=True)
class Forecast:
    """A plan with what it was made from. `whole` says that the model stays in memory from first to last."""

    stages: tuple[Stage, ...]
    plan: Plan
    budget: int
    whole: bool
    notes: tuple[str, ...] = ()  # what the budget asks of the run beside that: "decoded in tiles"


def forecast(
    info: ModelInfo,
    path: Path,
    budget: int,
    shape: Shape,
    dtype: str,
    device: str,
    beside: Mapping[str, Origin] = NOTHING,  # where the components lie that a single file lacks
    vae: Path | None = None,  # the file of the autoencoder that decodes in place of its own
) -> Forecast:
    """Raises ModelError for a file that holds no whole model, OutOfMemory with the arithmetic if no plan exists."""
    family = family_for(info)
    weights = folder_weights(path) if path.is_dir() else file_weights(read_header(path), family, beside)
    if info.problem or not weights:
        raise ModelError(
            f"{info.title} cannot be planned: {info.problem or 'its family has no layout for single files'}"
        )
    weights = with_vae(weights, vae)
    if family.enlarging:
        weights = {name: part for name, part in weights.items() if name not in family.enlarging.not_needed}
    options = variants(family, weights, shape, dtype, device)
    (fallbacks, stages), made = first_that_fits(options, lambda stages: plan(stages, (), budget))
    total = sum({part.key: part.bytes for stage in stages for part in stage.parts}.values())
    whole = total + max(stage.activation for stage in stages) <= budget
    if whole:
        made = plan(
            [Stage(s.name, tuple(p for t in stages for p in t.parts), s.activation) for s in stages], (), budget
        )
    return Forecast(tuple(stages), made, budget, whole, tuple(NOTES[name] for name in fallbacks))


@dataclass(frozen=True)
class Turn:
    """One model's part of a run; most runs are one model's alone."""

    info: ModelInfo
    shape: Shape
    forecast: Forecast


def turns(
    catalog: Catalog, info: ModelInfo, path: Path, budget: int, shape: Shape, dtype: str, device: str
) -> list[Turn]:
    """The forecast of each model that a picture of this shape takes, in order; each is planned for the whole budget. Raises
    as `forecast` does."""
    sizes = info.cascade.parts(shape.width, shape.height) if info.cascade else [(shape.width, shape.height)]
    listed = {other.id: other for other in catalog.models()} if len(sizes) > 1 else {}
    models = [(info, path)]
    for enlarger in info.cascade.enlargers[: len(sizes) - 1] if info.cascade else ():
        place = catalog.path(enlarger.id)
        if enlarger.id not in listed or place is None:
            raise ModelError(f"{enlarger.title} is no longer in the models folders.")
        models.append((listed[enlarger.id], place))
    out = []
    for (model, place), (width, height) in zip(models, sizes, strict=True):
        part = replace(shape, width=width, height=height)
        beside, vae = catalog.beside(model), catalog.other_vae(model)
        out.append(Turn(model, part, forecast(model, place, budget, part, dtype, device, beside, vae)))
    return out


def describe(planned: list[Turn]) -> str:
    """The forecasts as tables for people."""
    if len(planned) == 1:
        return table(planned[0].forecast)
    heads = [f"{turn.info.title}, {turn.shape.width} x {turn.shape.height}" for turn in planned]
    return "\n\n".join(f"{head}\n{table(turn.forecast)}" for head, turn in zip(heads, planned, strict=True))


def table(told: Forecast) -> str:
    rows = [("stage", "in memory", "working memory", "together")]
    for stage in told.stages:
        there = told.plan.resident[stage.name]
        streamed = told.plan.streamed
        names = [f"{key} {mib(size)}{' (streamed)' if key in streamed else ''}" for key, size in there.items()]
        rows.append((stage.name, ", ".join(names), mib(stage.activation), mib(told.plan.peaks[stage.name])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    how = ", ".join(["all of it stays in memory" if told.whole else "stage by stage", *told.notes])
    return "\n".join([*lines, f"peak {mib(told.plan.peak)} of {mib(told.budget)}; {how}"])


def view(planned: list[Turn]) -> PlanView:
    """The forecasts as plain values."""
    last = planned[-1]
    several = len(planned) > 1
    return PlanView(
        budget=last.forecast.budget,
        peak=max(turn.forecast.plan.peak for turn in planned),
        whole=all(turn.forecast.whole for turn in planned),
        width=last.shape.width,
        height=last.shape.height,
        stages=tuple(stage for turn in planned for stage in _stages(turn.forecast, turn.info.title if several else "")),
        notes=tuple(dict.fromkeys(note for turn in planned for note in turn.forecast.notes)),
    )


def _stages(told: Forecast, model: str) -> list[PlannedStage]:
    streamed = told.plan.streamed
    return [
        PlannedStage(
            name=stage.name,
            model=model,
            parts=tuple(
                PlannedPart(component=key, bytes=size, streamed=key in streamed)
                for key, size in told.plan.resident[stage.name].items()
            ),
            working=stage.activation,
            peak=told.plan.peaks[stage.name],
        )
        for stage in told.stages
    ]


__all__ = ["DoesNotFit", "Forecast", "Shape", "Turn", "describe", "forecast", "table", "turns", "view"]
