"""Who watches a run: a list of observers, each in a file of its own (the recorder, the previewer, later trace and attention).

An observer sees what passes and changes nothing, unless its own file says that it does (`differential.py`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from studio.engine.tap import TapStep

if TYPE_CHECKING:
    from studio.engine.effects import Context


class Observer:
    """Override what is of interest. All is called in the run's thread; what takes long belongs elsewhere."""

    def watching(self, context: "Context") -> AbstractContextManager[Any]:
        """Held during each call of a pipeline; undoes on leaving what it changed. For a run's own observers."""
        return nullcontext()

    def on_step(self, step: TapStep) -> None:
        """A denoising step is done. Its tensors are never to be written to."""

    def before_call(self, scheduler: Any, timestep: Any) -> None:
        """The scheduler is about to be called; some call it several times a step."""

    def on_prediction(self, prediction: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor:
        """The scheduler is about to be given `prediction` of the state `sample`; what is returned takes its place."""
        return prediction

    def after_call(self, scheduler: Any, sample: torch.Tensor) -> torch.Tensor:
        """The scheduler made `sample`, in its own layout; what is returned takes its place."""
        return sample

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        """The decoder made `pixels` (n, 3, h, w) of `latents` (n, c, h, w), as it took and gave them."""


class Calling(Observer):
    """Plain functions that are called with each step and each decoding."""

    def __init__(
        self,
        on_step: Callable[[TapStep], None] | None = None,
        on_decode: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
    ):
        self._on_step, self._on_decode = on_step, on_decode

    def on_step(self, step: TapStep) -> None:
        if self._on_step is not None:
            self._on_step(step)

    def on_decode(self, latents: torch.Tensor, pixels: torch.Tensor) -> None:
        if self._on_decode is not None:
            self._on_decode(latents, pixels)
