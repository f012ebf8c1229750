"""A leased model: its components, and fresh pipelines over them. Loads nothing itself."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.manager.disk.accepts import pipeline_class_for
from studio.manager.families import Family
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
    restart: Callable[[], None] = lambda: None  # told that a run begins, where components come and go
    arguments: dict[str, Any] = field(default_factory=dict)  # other constructor arguments from model_index.json

    def pipeline(self, task: str = "text_to_image") -> Any:
        """A fresh shell that does `task`, over the shared modules, with scheduler instances of its own."""
        self.restart()
        cls = pipeline_class(self._class_for(task))
        if not self.whole:
            cls = _on(cls, self.device)
        known = inspect.signature(cls.__init__).parameters
        parts = {key: value for key, value in (self.arguments | self.components).items() if key in known}
        parts |= {name: copy.copy(part) for name, part in parts.items() if name.endswith("scheduler")}
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _class_for(self, task: str) -> str:
        """The pipeline class for a task; a model's first task serves for text_to_image, so that DDPM needs no other word."""
        tasks = self.family.pipelines
        first = next(iter(tasks))
        wish = first if task == "text_to_image" and task not in tasks else task
        if wish not in tasks or wish not in self.info.tasks:
            raise InvalidRequest(
                f"{self.info.title} cannot do {task.replace('_', ' ')}; it does: {', '.join(self.info.tasks)}.",
                field="model",
            )
        if task == "text_to_image" or wish == first:
            return pipeline_class_for(self.family, self.info.variant, self.info.pipeline) or tasks[wish]
        return tasks[wish]


def _on(cls: Any, device: Any) -> Any:
    """The pipeline class for modules that are partly without data, which would name no device, or a wrong one."""
    return type(cls.__name__, (cls,), {"device": property(lambda pipeline: device), "__module__": cls.__module__})
