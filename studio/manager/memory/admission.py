"""Brings a model's components into memory as the planner says: all at once, or stage by stage while the model runs.

A model that fails to come in leaves memory as it found it. Which moves to make is the planner's business, how one is
made the residency's.
"""

from collections.abc import Callable
from contextlib import ExitStack

import torch

from studio.core.errors import Cancelled, OutOfMemory
from studio.manager.memory.fallbacks import DENOISE
from studio.manager.memory.limits import free
from studio.manager.memory.planner import DoesNotFit, Move, Part, Plan, Stage, greedy_dual_size, mib, plan
from studio.manager.memory.residency import Component, Residency
from studio.manager.memory.staging import Staging
from studio.manager.out_of_memory import is_out_of_memory

Report = Callable[[str, float | None], None]


class Admission:
    """`future` are keys of components that waiting jobs will want; `evict` lets go of all that nobody holds."""

    def __init__(self, residency: Residency, evict: Callable[[], None]):
        self._residency, self._evict = residency, evict
        self.future: frozenset[str] = frozenset()
        self._staging: Staging | None = None

    def bring_in(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        budget: Callable[[], int],
        report: Report,
        stack: ExitStack,  # holds what makes it run stage by stage
        begin: Callable[[], None],  # called whenever the denoiser was brought in for its stage
    ) -> None:
        """All or as before: what made way for a model that cannot be loaded comes back."""
        before = {resident.key for resident in self._residency.residents()}
        for _ in range(2):
            try:
                self._admit(stages, components, budget(), report, stack, begin)
                return
            except Cancelled:
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    self._residency.restore(before)
                    raise
            # Out of the handler: what the failed load had read hung on the traceback.
            self._evict()
        self._residency.restore(before)
        memory = state_of_memory(self._residency.device, budget())
        raise OutOfMemory(f"The device's memory did not suffice to load the model; {memory}. Try a smaller precision.")

    def restart(self) -> None:
        """A run begins: what is called first is brought in, where the model runs stage by stage."""
        if self._staging is not None:
            self._staging.restart()

    def shrink(self, budget: int) -> None:
        """Let go of what a smaller budget does not hold, and of no more."""
        try:
            fits = plan([Stage("rest", ())], self._residency.residents(), budget, self.future, policy=greedy_dual_size)
        except DoesNotFit:
            self._evict()  # what is pinned is more than that alone
        else:
            self._perform(fits.moves, lambda what, fraction: None)

    def _admit(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        budget: int,
        report: Report,
        stack: ExitStack,
        begin: Callable[[], None],
    ) -> None:
        ours = frozenset(component.key for component in components.values() if component.users == 1)

        def planned(run: list[Stage]) -> Plan:
            return plan(run, self._residency.residents(ours), budget, self.future, policy=greedy_dual_size)

        try:
            whole = planned([_merged(stages)])
        except DoesNotFit:
            self._run_in_stages(stages, components, planned, report, stack, begin)
        else:
            self._perform(whole.moves, report)

    def _run_in_stages(
        self,
        stages: list[Stage],
        components: dict[str, Component],
        planned: Callable[[list[Stage]], Plan],
        report: Report,
        stack: ExitStack,
        begin: Callable[[], None],
    ) -> None:
        def enter(name: str) -> None:
            number = next(n for n, stage in enumerate(stages) if stage.name == name)
            self._residency.stop_streaming()
            self._perform(planned([*stages[number:], *stages[:number]]).of_stage(name), lambda what, fraction: None)
            if name == DENOISE:
                begin()

        planned(stages)  # refuse before anything has moved
        by_key = {component.key: self._residency.skeleton(component) for component in components.values()}
        members = {stage.name: [by_key[part.key] for part in stage.parts] for stage in stages}
        report("to be read stage by stage, as the budget asks", None)
        self._staging = stack.enter_context(Staging(members, enter, self._residency.device))
        stack.callback(setattr, self, "_staging", None)

    def _perform(self, moves: tuple[Move, ...], report: Report) -> None:
        for number, move in enumerate(moves):
            verb = "letting go of" if move.kind == "evict" else "reading"
            report(f"{verb} {self._residency.components[move.key].source.name.replace('_', ' ')}", number / len(moves))
            self._residency.perform(move)


def state_of_memory(device: torch.device, budget: int) -> str:
    return f"the memory budget is {mib(budget)}, and {mib(free(device))} of the device are free"


def _merged(stages: list[Stage]) -> Stage:
    """All stages' components at once, none streamed, with the working memory of the hungriest."""
    parts = {part.key: part for stage in stages for part in stage.parts}
    whole = tuple(Part(part.key, part.bytes) for part in parts.values())
    return Stage("run", whole, max(stage.activation for stage in stages))
