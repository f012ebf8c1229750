"""Brings a run's components into memory as the planner says: all at once, or stage by stage while the model runs.

A run whose components cannot be loaded leaves memory as it found it. Attachments of parts are attached to what is in
memory, and detached before anything moves. Does not decide which moves to make; the planner does.
"""

from collections.abc import Callable
from contextlib import ExitStack

from studio.core.errors import Cancelled, OutOfMemory
from studio.manager.memory.assembly import Assembled
from studio.manager.memory.limits import free
from studio.manager.memory.planner import DoesNotFit, Move, Part, Plan, Stage, mib, plan
from studio.manager.memory.residency import Residency
from studio.manager.memory.streaming import Staging
from studio.manager.out_of_memory import is_out_of_memory

Report = Callable[[str, float | None], None]
Planned = Callable[[list[Stage]], Plan]


class Admission:
    """`future` are keys of components that waiting jobs need; `evict` unloads everything that nobody holds."""

    def __init__(self, residency: Residency, budget: Callable[[], int], evict: Callable[[], None]):
        self._residency, self._budget, self._evict = residency, budget, evict
        self.future: frozenset[str] = frozenset()

    def bring_in(self, model: Assembled, stages: list[Stage], report: Report, stack: ExitStack) -> Staging | None:
        """None where all of it is in memory now; else what brings it stage by stage. `stack` holds what is undone when the
        lease ends. Raises DoesNotFit before anything has moved; after any error what made way is loaded again."""
        before = {resident.key for resident in self._residency.residents()}
        for _ in range(2):
            try:
                return self._admit(model, stages, report, stack)
            except Cancelled:
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    self._residency.restore(before)
                    raise
            # Outside the handler: the traceback holds what the failed load had read.
            self._evict()
        self._residency.restore(before)
        raise OutOfMemory(
            f"The device's memory did not suffice to load the model; {self.state_of_memory()}. Try a smaller precision."
        )

    def shrink(self, budget: int) -> None:
        """Unload what a smaller budget does not hold, and no more."""
        try:
            fits = plan([Stage("rest", ())], self._residency.residents(), budget, self.future)
        except DoesNotFit:
            self._evict()  # what is pinned is more than that alone
        else:
            self._perform(fits.moves, lambda what, fraction: None)

    def state_of_memory(self) -> str:
        there = free(self._residency.device)
        return f"the memory budget is {mib(self._budget())}, and {mib(there)} of the device are free"

    def _admit(self, model: Assembled, stages: list[Stage], report: Report, stack: ExitStack) -> Staging | None:
        ours = frozenset(component.key for component in model.components.values() if component.users == 1)
        budget = self._budget()

        def planned(run: list[Stage]) -> Plan:
            return plan(run, self._residency.residents(ours), budget, self.future)

        together = {part.key: Part(part.key, part.bytes) for stage in stages for part in stage.parts}
        most = max(stage.activation for stage in stages)
        try:
            whole = planned([Stage("run", tuple(together.values()), most)])
        except DoesNotFit:
            return self._run_in_stages(model, stages, planned, report, stack)
        self._perform(whole.moves, report)
        stack.enter_context(model.parts.attached(model.modules()))
        return None

    def _run_in_stages(
        self, model: Assembled, stages: list[Stage], planned: Planned, report: Report, stack: ExitStack
    ) -> Staging:
        attached = ExitStack()
        keys = {stage.name: {part.key for part in stage.parts} for stage in stages}

        def enter(name: str) -> None:
            attached.close()
            self._residency.stop_streaming()
            number = list(keys).index(name)
            moves = planned([*stages[number:], *stages[:number]]).of_stage(name)
            self._perform(moves, lambda what, fraction: None)
            attached.enter_context(model.parts.attached(model.modules(keys[name])))

        planned(stages)  # raises before anything has moved
        for component in model.components.values():
            self._residency.skeleton(component)
        report("to be read stage by stage, as the budget asks", None)
        members = {name: list(model.modules(keys[name]).values()) for name in keys}
        staging = stack.enter_context(Staging(members, enter, self._residency.device))
        stack.callback(attached.close)
        return staging

    def _perform(self, moves: tuple[Move, ...], report: Report) -> None:
        for number, move in enumerate(moves):
            verb = "unloading" if move.kind == "evict" else "reading"
            report(f"{verb} {self._residency.components[move.key].source.title}", number / len(moves))
            self._residency.perform(move)
