"""The settings of a recipe as a form shows them: one row a leaf, with what its field declares. Does not load torch."""

from typing import Any

from pydantic import BaseModel

from studio.core.fields import FieldSpec, specs
from studio.core.training import FieldView
from studio.training.config import TrainConfig

# What a first look needs; everything else is behind a fold.
FIRST = frozenset(
    {"name", "seed", "steps", "batch", "optimizer.learning_rate", "task.density"}
    | {"data.folder", "data.size", "data.crop", "data.flip"}
    | {"task.teacher", "task.method", "task.guidance"}
    | {"task.base", "task.trigger", "task.rank", "task.alpha", "task.text_encoder"}
)
FIXED = frozenset({"about", "title"})


def fields(config: TrainConfig) -> tuple[FieldView, ...]:
    """Every leaf by its dotted name, in the order of declaration, less what the task and the data set do not read."""
    unused = config.task.unused | {f"data.{name}" for name in config.data.not_read()}
    return tuple(row for row in _rows(config, "", "") if row.name not in unused)


def _rows(value: BaseModel, path: str, group: str) -> list[FieldView]:
    found = []
    for name, spec in specs(type(value)).items():
        current, dotted = getattr(value, name), f"{path}{name}"
        if dotted in FIXED:
            continue
        if isinstance(current, BaseModel):
            found += _rows(current, f"{dotted}.", spec.title)
        else:
            found.append(_row(spec, dotted, group, current))
    return found


def _row(spec: FieldSpec, dotted: str, group: str, current: Any) -> FieldView:
    return FieldView(
        name=dotted,
        title=spec.title,
        help=spec.help,
        kind=spec.extra.widget or (spec.kind if not spec.several else "values"),
        value=list(current) if isinstance(current, tuple) else current,
        least=spec.least,
        most=spec.most,
        choices=tuple(value for value, _ in spec.choices),
        group=group,
        first=dotted in FIRST,
    )
