"""An exponential moving average of weights, over more steps as the run goes on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class EMA:
    """Averages parameters with decay min(longest, (1 + n) / (10 + n)) at the n-th update: in short runs the start has little weight."""

    def __init__(self, parameters: Sequence[Tensor], longest: float):
        self.parameters = list(parameters)
        self.longest = longest
        self.updates = 0
        self.average = [p.detach().clone() for p in self.parameters]

    def decay(self) -> float:
        return min(self.longest, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - self.decay())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the parameters hold the average."""
        own = [p.detach().clone() for p in self.parameters]
        self._write(self.average)
        try:
            yield
        finally:
            self._write(own)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "average": self.average}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        with torch.no_grad():
            for mine, stored in zip(self.average, state["average"], strict=True):  # type: ignore[call-overload]
                mine.copy_(stored)
