"""Brings a run's components into memory as the planner says: all at once, or stage by stage while the model runs.

A run whose components cannot be loaded leaves memory as it found it. Attachments of parts are attached to what is in
memory, and detached before anything moves. Does not decide which moves to make; the planner does.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

from studio.core.errors import Cancelled, OutOfMemory
from studio.manager.loading import is_out_of_memory
from studio.manager.memory.assembly import Assembled
from studio.manager.memory.planner import DoesNotFit, Plan, Stage, plan, together
from studio.manager.memory.residency import Residency

Report = Callable[[str, float | None], None]


class StageHook(ModelHook):
    """Calls `enter` before each use of the module it is attached to; diffusers' pipelines read which device it runs on."""

    def __init__(self, enter: Callable[[], None], device: Any):
        self._enter, self.execution_device = enter, device

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._enter()
        return args, kwargs


class Staging:
    """A run stage by stage: while entered, each call of a module brings in the components of its stage first."""

    def __init__(
        self, residency: Residency, model: Assembled, stages: list[Stage], planned: Callable[[list[Stage]], Plan]
    ):
        self._residency, self._model, self._stages, self._planned = residency, model, stages, planned
        self._keys = {stage.name: {part.key for part in stage.parts} for stage in stages}
        self._current: str | None = None
        self._attached = ExitStack()
        self.then: Callable[[], None] = lambda: None  # called after the run has come to another stage

    def __enter__(self) -> "Staging":
        for stage, keys in self._keys.items():
            for module in self._model.modules(keys).values():
                add_hook_to_module(module, StageHook(partial(self._enter, stage), self._residency.device))
        return self

    def __exit__(self, *error: Any) -> None:
        self._attached.close()
        for module in self._model.modules().values():
            remove_hook_from_module(module)
            module.__dict__.pop("forward", None)  # accelerate leaves a bound copy behind, a cycle that holds memory

    def restart(self) -> None:
        """Enter the first stage: a run begins, and may look at its modules before it calls them."""
        self._enter(self._stages[0].name)

    def _enter(self, stage: str) -> None:
        if stage == self._current:
            return
        self._attached.close()
        self._residency.stop_streaming()
        number = list(self._keys).index(stage)
        for move in self._planned([*self._stages[number:], *self._stages[:number]]).of_stage(stage):
            self._residency.perform(move)
        self._attached.enter_context(self._model.parts.attached(self._model.modules(self._keys[stage])))
        self.then()
        self._current = stage


def bring_in(
    residency: Residency, model: Assembled, stages: list[Stage], report: Report, stack: ExitStack
) -> Staging | None:
    """None where all of it is in memory now; else what brings it stage by stage. `stack` holds what is undone when the
    lease ends. Raises DoesNotFit before anything has moved; after any error what was evicted is loaded again."""
    before = {resident.key for resident in residency.residents()}
    for _ in range(2):
        try:
            return _admit(residency, model, stages, report, stack)
        except Cancelled:
            raise
        except Exception as error:
            if not is_out_of_memory(error):
                residency.restore(before)
                raise
        # Outside the handler: the traceback holds what the failed load had read.
        residency.unload()
    residency.restore(before)
    state = residency.state_of_memory()
    raise OutOfMemory(f"The device's memory did not suffice to load the model; {state}. Try a smaller precision.")


def _admit(
    residency: Residency, model: Assembled, stages: list[Stage], report: Report, stack: ExitStack
) -> Staging | None:
    ours = frozenset(component.key for component in model.components.values() if component.users == 1)
    budget = residency.budget()

    def planned(stages: list[Stage]) -> Plan:
        return plan(stages, residency.residents(ours), budget, residency.future)

    try:
        moves = planned([together(stages)]).moves
    except DoesNotFit:
        planned(stages)  # raises before anything has moved
        for component in model.components.values():
            component.skeleton(residency.device)
        report("to be read stage by stage, as the budget asks", None)
        return stack.enter_context(Staging(residency, model, stages, planned))
    for number, move in enumerate(moves):
        verb = "unloading" if move.kind == "evict" else "reading"
        report(f"{verb} {residency.components[move.key].source.title}", number / len(moves))
        residency.perform(move)
    stack.enter_context(model.parts.attached(model.modules()))
    return None
