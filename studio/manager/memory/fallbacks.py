"""Ways to run a model with less memory, each costing a little more than the one before.

`variants` plans those that can be chosen before a run, for a budget that holds no stage as it was asked for. `Fallbacks`
takes them, and others, one by one when a run really is out of memory: what was done stays done, and a forward or a
decoding that failed is called again with the same arguments. Does not depend on torch until one is taken.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from studio.core.errors import OutOfMemory
from studio.manager.loading import is_out_of_memory
from studio.manager.memory.estimate import Run, Shape
from studio.manager.memory.limits import give_back
from studio.manager.memory.planner import DoesNotFit, Stage

ENCODE, DENOISE, DECODE = "encode", "denoise", "decode"  # ENCODE: whatever runs in neither of the others
EVICT, SLICE, TILE, SINGLE = "evict", "slice", "tile", "single"
STREAM, RELEASE, CPU_DECODE = "stream", "release", "cpu_decode"
NOTES = {  # as they stand in the recipe
    EVICT: "evicted other models",
    SLICE: "decoded image by image",
    TILE: "decoded in tiles",
    SINGLE: "denoised one image at a time",
    STREAM: "streamed the denoiser's weights",
    RELEASE: "unloaded the denoiser while decoding",
    CPU_DECODE: "decoded on the CPU",
}
SMALLEST_TILE = 8  # latent cells a side; smaller tiles are nearly all seam
PICTURE_BYTES = 3 * 3 * 4  # a pixel of the finished tiles, of those being joined, and of the whole

T = TypeVar("T")


# -- chosen before a run

Variant = tuple[tuple[str, ...], list[Stage]]  # names of the fallbacks taken from the start, and the stages then


def variants(run: Run) -> list[Variant]:
    """The run as it was asked for; then decoded image by image, denoised one at a time, decoded in tiles. Tiles come last,
    because they alone change the picture."""
    shape, plain = run.shape, replace(run, measured=None)
    alone = replace(plain, shape=replace(shape, batch=1))
    side = tile_pixels(decoder_config(run), max(shape.width, shape.height))
    several: list[tuple[str, ...]] = [(SLICE,), (SINGLE,), (SLICE, TILE), (SLICE, TILE, SINGLE)]
    out: list[Variant] = [((), run.stages())]
    for names in several if shape.batch > 1 else [(TILE,)]:
        stages = (alone if SINGLE in names else plain).stages()
        if names != (SINGLE,):
            if side is None:
                continue
            decoded, picture = alone, 0
            if TILE in names:
                tile = replace(shape, batch=1, width=min(side, shape.width), height=min(side, shape.height))
                decoded, picture = replace(alone, shape=tile), shape.width * shape.height * PICTURE_BYTES
            most = picture + next((s.activation for s in decoded.stages() if s.name == DECODE), 0)
            stages = [replace(s, activation=min(s.activation, most)) if s.name == DECODE else s for s in stages]
        out.append((names, stages))
    return out


def first_that_fits(variants: list[Variant], attempt: Callable[[list[Stage]], T]) -> tuple[Variant, T]:
    """The first variant that the budget holds, and what `attempt` made of its stages. Raises DoesNotFit, with the
    arithmetic of the last variant: the least that would do."""
    *others, last = variants
    for variant in others:
        try:
            return variant, attempt(variant[1])
        except DoesNotFit:
            continue
    return last, attempt(last[1])


def decoder_config(run: Run) -> Mapping[str, Any]:
    """The autoencoder's configuration with its class, which a single file leaves to the family; {} without one."""
    name = run.family.decoder or ""
    if name not in run.weights:
        return {}
    named = run.family.blueprint.parts.get(name, ("", "")) if run.family.blueprint else ("", "")
    return {"_class_name": named[1]} | dict(run.weights[name].config)


def tile_pixels(config: Mapping[str, Any], pixels: int) -> int | None:
    """The side of a tile for a picture whose longer side has `pixels`, from the autoencoder's configuration; None where
    it has no tiles, or none small enough."""
    levels = config.get("block_out_channels") or config.get("decoder_block_out_channels") or ()
    own = {"AutoencoderKL": config.get("sample_size"), "AutoencoderTiny": 512}.get(config.get("_class_name", ""))
    return _tile_side(own, 2 ** (len(levels) - 1), pixels) if isinstance(own, int) and levels else None


def _tile_side(own: int, scale: int, pixels: int) -> int | None:
    """The autoencoder's own tile; half the picture where that is no larger than one of them."""
    cells = own // scale if pixels > own else pixels // scale // 2
    return cells * scale if cells >= SMALLEST_TILE else None


# -- taken when a run is out of memory


class Exhausted(OutOfMemory):
    """Nothing more can be tried; the message says what was, and carries the arithmetic."""


class Restart(Exception):
    """A fallback was taken that changes what is denoised together: this batch has to begin again."""


@dataclass(frozen=True)
class Fallback:
    """`take` is done at once and lasts for the lease; `around` is done for each decoding, and undone by its stack."""

    name: str
    helps: frozenset[str]  # stages
    applies: Callable[[], bool] = lambda: True  # whether it would change anything now
    take: Callable[[], None] | None = None
    around: Callable[[ExitStack], Any] | None = None


class Fallbacks:
    """Those open to one lease of a model. `taken` names those that its runs use; they add up."""

    def __init__(
        self,
        fallbacks: tuple[Fallback, ...] = (),
        taken: tuple[str, ...] = (),
        remember: Callable[[tuple[str, ...]], None] = lambda taken: None,
        arithmetic: Callable[[str], str] = lambda stage: "The device's memory did not suffice.",
    ):
        self._all, self._remember, self._arithmetic = fallbacks, remember, arithmetic
        self.taken = self._remembered = self._in_order(taken)
        self._used: set[str] = set()

    @property
    def single(self) -> bool:
        """Whether images are to be denoised one at a time."""
        return SINGLE in self.taken

    def begin(self) -> None:
        """A run begins, or its denoiser was loaded again: take again what was taken before."""
        for fallback in self._all:
            if fallback.name in self.taken and fallback.applies():
                self._take(fallback)

    def retry(self, stage: str, work: Callable[[], T]) -> T:
        """What `work` returns, called again with one more fallback each time that it is out of memory. Raises Exhausted,
        Restart, and whatever else `work` raises."""
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the traceback holds the tensors of the failed call.
            if self.take_next(stage) == SINGLE:
                raise Restart

    def take_next(self, stage: str) -> str:
        """Take the next fallback that helps this stage, and return its name; raises Exhausted after the last."""
        give_back()
        for fallback in self._all:
            if stage in fallback.helps and fallback.name not in self.taken and fallback.applies():
                self.taken = self._in_order((*self.taken, fallback.name))
                self._take(fallback)
                return fallback.name
        tried = ", ".join(NOTES[name] for name in self.taken) or "nothing, because no fallback helps here"
        raise Exhausted(f"{self._arithmetic(stage)} Tried without success: {tried}.")

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Held around one call of the decoder; everything is undone at the end."""
        with ExitStack() as stack:
            for fallback in self._all:
                if fallback.around is not None and fallback.name in self.taken and fallback.applies():
                    fallback.around(stack)
                    self._used.add(fallback.name)
            yield

    def succeeded(self) -> None:
        """A batch is done: what it took is remembered for the next run of its kind."""
        if self.taken != self._remembered:
            self._remember(self.taken)
            self._remembered = self.taken

    def notes(self) -> tuple[str, ...]:
        """For the recipe: what this lease's runs used so far."""
        return tuple(NOTES[name] for name in self.taken if name in self._used or name == SINGLE)

    def _take(self, fallback: Fallback) -> None:
        if fallback.take is not None:
            fallback.take()
            self._used.add(fallback.name)

    def _in_order(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(fallback.name for fallback in self._all if fallback.name in names)


def fallbacks_for(
    decoder: Any,  # the autoencoder, or None
    shape: Shape,
    device: Any,
    *,
    idle: Callable[[], bool],  # whether anything is in memory that could be evicted
    evict: Callable[[], None],
    movable: Callable[[], bool],  # whether the denoiser is in memory whole, and may be streamed or unloaded
    stream: Callable[[], None],
    release: Callable[[ExitStack], None],  # unload the denoiser until the stack is closed
) -> tuple[Fallback, ...]:
    """Those of one model at one shape, in the order in which they are taken."""
    run, decode = frozenset({ENCODE, DENOISE}), frozenset({DECODE})
    sizes = tile_sizes(decoder, max(shape.width, shape.height))

    def slices(stack: ExitStack) -> None:
        decoder.enable_slicing()
        stack.callback(decoder.disable_slicing)

    def tiles(stack: ExitStack) -> None:
        for name, size in (sizes or {}).items():
            stack.callback(setattr, decoder, name, getattr(decoder, name))
            setattr(decoder, name, size)
        decoder.enable_tiling()
        stack.callback(decoder.disable_tiling)

    def on_the_cpu(stack: ExitStack) -> None:
        """The caller moves the latents to it, and the pixels back."""
        if (hook := getattr(decoder, "_hf_hook", None)) is not None:
            hook.pre_forward(decoder)  # run stage by stage, its weights are loaded here, and to the device
        decoder.to("cpu")
        stack.callback(decoder.to, device)
        give_back()

    found = [Fallback(EVICT, run | decode, idle, take=evict)]
    if hasattr(decoder, "use_slicing") and shape.batch > 1:
        found.append(Fallback(SLICE, decode, around=slices))
    if hasattr(decoder, "use_tiling") and sizes is not None:
        found.append(Fallback(TILE, decode, around=tiles))
    if shape.batch > 1:
        found.append(Fallback(SINGLE, run))
    found.append(Fallback(STREAM, run, movable, take=stream))
    found.append(Fallback(RELEASE, decode, movable, around=release))
    if decoder is not None and device.type != "cpu":
        found.append(Fallback(CPU_DECODE, decode, around=on_the_cpu))
    return tuple(found)


def tile_sizes(decoder: Any, pixels: int) -> dict[str, int] | None:
    """The attributes to set for tiles that are smaller than the picture; {}: the autoencoder's own do; None: there are none."""
    sample, latent = getattr(decoder, "tile_sample_min_size", None), getattr(decoder, "tile_latent_min_size", None)
    if not (isinstance(sample, int) and isinstance(latent, int) and 0 < latent <= sample):
        return {}
    scale = sample // latent
    side = _tile_side(sample, scale, pixels)
    return None if side is None else {"tile_sample_min_size": side, "tile_latent_min_size": side // scale}
