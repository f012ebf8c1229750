"""What is tried, in order, when a run really is out of memory: each rung costs a little more than the one before.

Evict everything else, decode image by image, decode in tiles, denoise one image at a time, stream the denoiser's
weights, decode on the CPU. Rungs add up; how far a shape had to climb is kept, so that the next run of it begins there.
Which errors mean "out of memory" is the engine's to say.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

EVICT, SLICE, TILE, SINGLE, STREAM, CPU_DECODE = "evict", "slice", "tile", "single", "stream", "cpu_decode"


@dataclass(frozen=True)
class Rung:
    """`note` goes into the recipe; `applies` says whether it would change anything; `hold` does it for a `with`."""

    name: str
    note: str
    applies: Callable[[], bool]
    hold: Callable[[ExitStack], None]


class Ladder:
    """The rungs open to one leased model. `taken` counts those that every run from now on starts with."""

    def __init__(self, rungs: tuple[Rung, ...], taken: int, remember: Callable[[int], None]):
        self.rungs, self.taken, self._remember = rungs, min(taken, len(rungs)), remember

    @property
    def single(self) -> bool:
        """Whether images are to be denoised one at a time."""
        return any(rung.name == SINGLE for rung in self.rungs[: self.taken])

    def climb(self) -> bool:
        """Take the next rung that changes anything; False at the top."""
        while self.taken < len(self.rungs):
            self.taken += 1
            if self.rungs[self.taken - 1].applies():
                self._remember(self.taken)
                return True
        return False

    @contextmanager
    def held(self) -> Iterator[list[str]]:
        """Run under the rungs taken; yields their notes. Everything is undone at the end."""
        used = [rung for rung in self.rungs[: self.taken] if rung.applies()]
        with ExitStack() as stack:
            for rung in used:
                rung.hold(stack)
            yield [rung.note for rung in used]

    def tried(self) -> str:
        return ", ".join(rung.note for rung in self.rungs[: self.taken]) or "nothing"


def rungs_for(
    decoder: Any,  # the autoencoder, or None
    batch: int,
    others: Callable[[], int],  # bytes that eviction would free
    evict: Callable[[], None],
    stream: Callable[[ExitStack], None] | None,  # None: the denoiser cannot be streamed
    device: torch.device,
) -> tuple[Rung, ...]:
    """The ladder of one model at one batch size."""

    def switch(name: str) -> Callable[[ExitStack], None]:
        def hold(stack: ExitStack) -> None:
            getattr(decoder, f"enable_{name}")()
            stack.callback(getattr(decoder, f"disable_{name}"))

        return hold

    rungs = [Rung(EVICT, "evicted other models", lambda: others() > 0, lambda stack: evict())]
    if hasattr(decoder, "enable_slicing"):
        rungs.append(Rung(SLICE, "decoded image by image", lambda: batch > 1, switch("slicing")))
    if hasattr(decoder, "enable_tiling"):
        rungs.append(Rung(TILE, "decoded in tiles", lambda: True, switch("tiling")))
    rungs.append(Rung(SINGLE, "denoised one image at a time", lambda: batch > 1, lambda stack: None))
    if stream is not None:
        rungs.append(Rung(STREAM, "streamed the denoiser's weights", lambda: True, stream))
    if decoder is not None and device.type != "cpu":
        rungs.append(Rung(CPU_DECODE, "decoded on the CPU", lambda: True, lambda stack: _decode_on_cpu(decoder, stack)))
    return tuple(rungs)


def _decode_on_cpu(decoder: Any, stack: ExitStack) -> None:
    """Move the autoencoder to the CPU, and its inputs and outputs after it, for the length of the stack."""
    original, device = decoder.decode, decoder.device
    decoder.to("cpu")

    def decode(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        output = original(latents.cpu(), *args, **kwargs)
        if isinstance(output, tuple):
            return (output[0].to(device), *output[1:])
        output.sample = output.sample.to(device)
        return output

    def undo() -> None:
        decoder.__dict__.pop("decode", None)
        decoder.to(device)

    decoder.decode = decode
    stack.callback(undo)
