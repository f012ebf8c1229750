"""Carries a plan out inside a stock pipeline's call: when a stage's first component is called, the stage's moves are made.

Uses accelerate's module hooks, which diffusers' pipelines know: the autoencoder's `decode` honours them, and a pipeline
whose modules are partly without data learns from them which device it runs on.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module


class StageHook(ModelHook):
    """Calls `enter` before each use of the module it is attached to."""

    def __init__(self, enter: Callable[[], None], device: Any):
        self._enter = enter
        self.execution_device = device  # read by diffusers' pipelines

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._enter()
        return args, kwargs


class Staging:
    """`enter(stage)` is called once each time the run passes into another stage."""

    def __init__(self, members: dict[str, list[Any]], enter: Callable[[str], None], device: Any):
        self._members, self._on_enter, self._device = members, enter, device
        self._current: str | None = None

    def __enter__(self) -> "Staging":
        for stage, modules in self._members.items():
            for module in modules:
                add_hook_to_module(module, StageHook(partial(self._enter_once, stage), self._device))
        return self

    def __exit__(self, *error: Any) -> None:
        for modules in self._members.values():
            for module in modules:
                remove_hook_from_module(module)
                module.__dict__.pop("forward", None)  # accelerate leaves a bound copy behind, a cycle that holds memory

    def restart(self) -> None:
        """Enter the first stage: a run begins, and may look at its modules before it calls them."""
        self._enter_once(next(iter(self._members)))

    def _enter_once(self, stage: str) -> None:
        if stage != self._current:
            self._on_enter(stage)
            self._current = stage
