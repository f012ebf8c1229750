"""The part of a studio that the Models tab asks, without a worker: what a test tells is what is in memory."""

import threading
from typing import Any

from studio.core.errors import NotFound, OutOfMemory
from studio.core.memory import MemoryCommand, MemoryView, MoveView, PlannedPart, PlannedStage, PlanRequest, PlanView
from studio.core.models import Choice, ModelInfo, Override

MIB = 2**20
FEW = MemoryView(
    budget=8 * 2**30,
    used=412 * MIB,
    device="cpu",
    residents=(("unet", 300 * MIB), ("text_encoder", 80 * MIB), ("vae", 32 * MIB)),
    holders=(("starter/pencil",),) * 3,
    models=("starter/pencil",),
)


class FakeMemory:
    """`change` changes what is in memory, as a worker would; `commands` and `words` are what was asked of it."""

    def __init__(self) -> None:
        self.commands: list[MemoryCommand] = []
        self.words: list[tuple[str, Override]] = []
        self.ledger: list[MoveView] = []
        self.pictures: dict[str, bytes] = {}
        self._models: list[ModelInfo] = []
        self._told = threading.Condition()
        self._number, self._view = 1, FEW

    def change(self, **changes: Any) -> None:
        with self._told:
            self._view = self._view.model_copy(update=changes)
            self._number += 1
            self._told.notify_all()

    def forget_memory(self) -> None:
        self.change(**dict(FEW))
        for kept in (self.commands, self.words, self.ledger, self.pictures):
            kept.clear()

    def memory(self) -> MemoryView:
        return self._view

    def watch_memory(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        with self._told:
            self._told.wait_for(lambda: self._number != seen, timeout=seconds)
            return self._number, self._view

    def manage(self, command: MemoryCommand) -> None:
        self.commands.append(command)

    def families(self) -> list[Choice]:
        return [Choice(name="sd1", title="Stable Diffusion 1"), Choice(name="sdxl", title="Stable Diffusion XL")]

    def preview(self, model: str) -> bytes:
        if model not in self.pictures:
            raise NotFound("preview", model)
        return self.pictures[model]

    def override(self, model: str, changes: Override) -> None:
        """The word is noted; only whether a model is hidden is also done."""
        self.words.append((model, changes))
        if "hidden" in changes.model_fields_set:
            hide = {"hidden": bool(changes.hidden)}
            self._models = [info.model_copy(update=hide) if info.id == model else info for info in self._models]

    def import_seconds(self, model: str) -> float | None:
        return None if model.startswith("starter/") else 21.0

    def moves(self, limit: int = 60) -> list[MoveView]:
        return self.ledger[:limit]

    def plan(self, request: PlanRequest) -> PlanView:
        """Working memory grows with the picture; past the budget it is refused, as the planner refuses it."""
        width, height = request.width or 128, request.height or 128
        working = width * height * request.batch * 512
        if working > self._view.budget:
            raise OutOfMemory(f"To denoise takes working memory {working // MIB} MiB; raise the budget.")
        stages = tuple(
            PlannedStage(
                name=name, parts=(PlannedPart(component=part, bytes=size),), working=working, peak=size + working
            )
            for name, part, size in (
                ("encode", "text_encoder", 80 * MIB),
                ("denoise", "unet", 300 * MIB),
                ("decode", "vae", 32 * MIB),
            )
        )
        peak = max(stage.peak for stage in stages)
        return PlanView(budget=self._view.budget, peak=peak, whole=False, width=width, height=height, stages=stages)
