"""A leased model: its components, and fresh pipelines over them. Loads nothing itself."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.manager.families import Call, Family
from studio.manager.loading import pipeline_class
from studio.manager.memory.fallbacks import Fallbacks


@dataclass(frozen=True)
class Loaded:
    """A model that is in memory, for as long as its lease lasts."""

    info: ModelInfo
    family: Family
    components: dict[str, Any]  # name -> module, tokenizer, scheduler, or None
    dtype: Any  # torch.dtype
    device: Any  # torch.device
    weights: dict[str, str]  # component -> sha256 of its weights
    folder: Path
    fallbacks: Fallbacks = field(default_factory=Fallbacks)  # for when memory runs out
    attention: str = "sdpa"  # the kernel that attends; chosen per model, never for the process
    whole: bool = True  # all components are in memory at once; else they come and go stage by stage
    restart: Callable[[], None] = lambda: None  # called when a run begins, where components come and go
    arguments: dict[str, Any] = field(default_factory=dict)  # other constructor arguments from model_index.json

    def call(self, request: GenerationRequest) -> Call:
        """How its family does the request's task, with the request's parts. Raises InvalidRequest where it cannot."""
        calls = self.family.calls(self.info.variant, self.info.pipeline)
        if request.task.kind not in calls:
            does = ", ".join(task.replace("_", " ") for task in calls)
            raise InvalidRequest(
                f"{self.info.title} cannot do {request.task.title.lower()}; it does: {does}.", field="model"
            )
        return calls[request.task.kind].having(part.kind for part in request.parts)

    def pipeline(self, call: Call | None = None) -> Any:
        """A fresh shell of the call's class, or of the first task's, over the shared modules, with schedulers of its own."""
        self.restart()
        call = call or next(iter(self.family.calls(self.info.variant, self.info.pipeline).values()))
        cls = pipeline_class(call.pipeline)
        if not self.whole:
            cls = _on(cls, self.device)
        known = inspect.signature(cls.__init__).parameters
        parts = {key: value for key, value in (self.arguments | self.components).items() if key in known}
        parts |= {name: copy.copy(part) for name, part in parts.items() if name.endswith("scheduler")}
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _on(cls: Any, device: Any) -> Any:
    """The pipeline class for modules that are partly without data, which would name no device, or a wrong one."""
    return type(cls.__name__, (cls,), {"device": property(lambda pipeline: device), "__module__": cls.__module__})
