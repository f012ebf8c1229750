"""Which parts act in the step that comes next, for those whose start and end the stock pipelines do not know."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from studio.core.parts.step_range import Ranged, acts_in
from studio.engine.effects import Context
from studio.engine.observers import Observer
from studio.engine.tap import TapStep

Unit = TypeVar("Unit", bound=Ranged)


class Acting(Observer, Generic[Unit]):
    """Counts the steps. A subclass changes what the denoiser is given, in `applied`, by `on()`: which of the units act."""

    def __init__(self, units: Sequence[Unit], context: Context):
        self.units, self.step = units, 0
        self.steps = context.request.task.steps_run(
            context.request.steps, context.loaded.info.capabilities.partial_steps
        )
        self.denoiser = getattr(context.pipeline, context.loaded.family.denoiser)

    def on_step(self, step: TapStep) -> None:
        self.step = step.index + 1

    def on(self) -> list[bool]:
        return [acts_in(unit, min(self.step, self.steps - 1), self.steps) for unit in self.units]

    @contextmanager
    def applied(self) -> Iterator[None]:
        yield


def acting(units: Sequence[Any], context: Context, make: type[Acting[Any]], key: str) -> tuple[Observer, ...]:
    """The observer, kept under `key` for `applied`; none where every unit acts in all steps."""
    if all(unit.start == 0 and unit.end == 1 for unit in units):
        return ()
    context.kept[key] = made = make(units, context)
    return (made,)
