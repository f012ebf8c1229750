"""What is tried, in order, when a run really is out of memory: each rung costs a little more than the one before.

Evict everything else, decode image by image, decode in tiles, denoise one image at a time, stream the denoiser's
weights, let the denoiser go while decoding, decode on the CPU. A rung is taken only for a stage that it helps, and what
was done stays done: a forward or a decoding that failed is called again with what it was given. Rungs add up; those
that a shape needed are kept, so that the next run of it begins with them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from studio.core.errors import OutOfMemory
from studio.manager.memory.thrift import NOTES, SINGLE, SLICE, SMALLEST_TILE, TILE
from studio.manager.out_of_memory import is_out_of_memory

EVICT, STREAM, RELEASE, CPU_DECODE = "evict", "stream", "release", "cpu_decode"
ENCODE, DENOISE, DECODE = "encode", "denoise", "decode"  # ENCODE: whatever runs in neither of the others

T = TypeVar("T")


class Exhausted(OutOfMemory):
    """Nothing more can be tried; the message says what was, and carries the arithmetic."""


class BeginAgain(Exception):
    """A rung was taken that changes what is denoised together: this batch has to be begun again."""


@dataclass(frozen=True)
class Rung:
    """`note` goes into the recipe. `take` is done at once and lasts for the lease, `around` is held around each decoding."""

    name: str
    note: str
    helps: frozenset[str]
    applies: Callable[[], bool] = lambda: True  # whether it would change anything now
    take: Callable[[], None] | None = None
    around: Callable[[], AbstractContextManager[Any]] | None = None


class Ladder:
    """The rungs open to one lease of a model. `taken` names those that its runs work under."""

    def __init__(
        self,
        rungs: tuple[Rung, ...] = (),
        taken: tuple[str, ...] = (),
        remember: Callable[[tuple[str, ...]], None] = lambda taken: None,
        arithmetic: Callable[[str], str] = lambda stage: "The device's memory did not suffice.",
    ):
        self.rungs, self.taken = rungs, tuple(rung.name for rung in rungs if rung.name in taken)
        self._remember, self._arithmetic = remember, arithmetic
        self._kept = self.taken
        self._done: set[str] = set()

    @property
    def single(self) -> bool:
        """Whether images are to be denoised one at a time."""
        return SINGLE in self.taken

    def begin(self) -> None:
        """A run begins, or comes back to its denoiser: do again what the rungs taken ask for."""
        for rung in self._rungs_taken():
            if rung.take is not None and rung.applies():
                self._take(rung)

    def persevere(self, stage: str, work: Callable[[], T]) -> T:
        """What `work` returns, climbing as long as it finds no memory. Raises Exhausted, BeginAgain, and what else `work` raises."""
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Out of the handler: the failed work's tensors hung on the traceback.
            if self.climb(stage).name == SINGLE:
                raise BeginAgain

    def climb(self, stage: str) -> Rung:
        """Take the next rung that helps this stage; raises Exhausted at the top."""
        _give_back()
        for rung in self.rungs:
            if stage in rung.helps and rung.name not in self.taken and rung.applies():
                self.taken = tuple(known.name for known in self.rungs if known.name in (*self.taken, rung.name))
                if rung.take is not None:
                    self._take(rung)
                return rung
        raise Exhausted(f"{self._arithmetic(stage)} Tried without success: {self._tried()}.")

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Held around one call of the decoder; everything is undone at the end."""
        with ExitStack() as stack:
            for rung in self._rungs_taken():
                if rung.around is not None and rung.applies():
                    stack.enter_context(rung.around())
                    self._done.add(rung.name)
            yield

    def succeeded(self) -> None:
        """A batch is done: what it took to do it is kept for the next run of its kind."""
        if self.taken != self._kept:
            self._remember(self.taken)
            self._kept = self.taken

    def notes(self) -> tuple[str, ...]:
        """For the recipe: what this lease's runs have worked under so far."""
        return tuple(r.note for r in self._rungs_taken() if r.name in self._done or r.name == SINGLE)

    def _take(self, rung: Rung) -> None:
        assert rung.take is not None
        rung.take()
        self._done.add(rung.name)

    def _rungs_taken(self) -> list[Rung]:
        return [rung for rung in self.rungs if rung.name in self.taken]

    def _tried(self) -> str:
        return ", ".join(rung.note for rung in self._rungs_taken()) or "nothing, for no rung would have helped"


def rungs_for(
    decoder: Any,  # the autoencoder, or None
    batch: int,
    pixels: int,  # of the picture's longer side
    device: torch.device,
    *,
    evictable: Callable[[], int],  # bytes that eviction would free
    evict: Callable[[], None],
    streamable: Callable[[], bool],  # whether the denoiser is in memory whole and could be streamed instead
    stream: Callable[[], None],
    release: Callable[[], AbstractContextManager[Any]],  # the denoiser let go for the length of a `with`
) -> tuple[Rung, ...]:
    """The ladder of one model at one shape."""
    every, run, decode = frozenset({ENCODE, DENOISE, DECODE}), frozenset({ENCODE, DENOISE}), frozenset({DECODE})
    rungs = [Rung(EVICT, "evicted other models", every, lambda: evictable() > 0, take=evict)]
    if hasattr(decoder, "use_slicing") and batch > 1:
        rungs.append(Rung(SLICE, NOTES[SLICE], decode, around=lambda: _sliced(decoder)))
    if hasattr(decoder, "use_tiling") and _tile(decoder, pixels) is not None:
        rungs.append(Rung(TILE, NOTES[TILE], decode, around=lambda: _tiled(decoder, pixels)))
    if batch > 1:
        rungs.append(Rung(SINGLE, NOTES[SINGLE], run))
    rungs.append(Rung(STREAM, "streamed the denoiser's weights", run, streamable, take=stream))
    rungs.append(Rung(RELEASE, "let the denoiser go while decoding", decode, streamable, around=release))
    if decoder is not None and device.type != "cpu":
        rungs.append(Rung(CPU_DECODE, "decoded on the CPU", decode, around=lambda: _on_the_cpu(decoder, device)))
    return tuple(rungs)


@contextmanager
def _sliced(decoder: Any) -> Iterator[None]:
    decoder.enable_slicing()
    try:
        yield
    finally:
        decoder.disable_slicing()


@contextmanager
def _tiled(decoder: Any, pixels: int) -> Iterator[None]:
    """Tiles as the autoencoder has them; smaller ones where the picture is no larger than one of them."""
    own = {name: getattr(decoder, name, None) for name in ("tile_sample_min_size", "tile_latent_min_size")}
    for name, size in (_tile(decoder, pixels) or {}).items():
        setattr(decoder, name, size)
    decoder.enable_tiling()
    try:
        yield
    finally:
        decoder.disable_tiling()
        for name, kept in own.items():
            if kept is not None:
                setattr(decoder, name, kept)


def _tile(decoder: Any, pixels: int) -> dict[str, int] | None:
    """The sizes to set for tiles that are smaller than the picture; {}: its own are; None: there can be none."""
    sample, latent = getattr(decoder, "tile_sample_min_size", None), getattr(decoder, "tile_latent_min_size", None)
    if not (isinstance(sample, int) and isinstance(latent, int) and 0 < latent <= sample) or pixels > sample:
        return {}
    scale = sample // latent
    cells = pixels // scale // 2
    return {"tile_sample_min_size": cells * scale, "tile_latent_min_size": cells} if cells >= SMALLEST_TILE else None


@contextmanager
def _on_the_cpu(decoder: Any, device: torch.device) -> Iterator[None]:
    """The autoencoder on the CPU; whoever calls it moves the latents after it and the pixels back."""
    hook = getattr(decoder, "_hf_hook", None)
    if hook is not None:
        hook.pre_forward(decoder)  # run stage by stage, its weights come now, and to the device
    decoder.to("cpu")
    _give_back()
    try:
        yield
    finally:
        decoder.to(device)


def _give_back() -> None:
    """Blocks that PyTorch keeps for itself go back to the device."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
