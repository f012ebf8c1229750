"""Ways to run a model with less working memory, for a budget that not even its stages fit one by one. No torch.

The same rungs that a real want of memory climbs, taken before it: decode image by image, denoise one at a time, decode
in tiles. Tried in that order, for tiles alone change the picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from studio.manager.families import Family
from studio.manager.memory.estimate import Shape, Weights
from studio.manager.memory.planner import DoesNotFit, Stage

SLICE, TILE, SINGLE = "slice", "tile", "single"
NOTES = {SLICE: "decoded image by image", TILE: "decoded in tiles", SINGLE: "denoised one image at a time"}
SMALLEST_TILE = 8  # latent cells a side; below, the seams are all there is
PICTURE_BYTES = 3 * 3 * 4  # a pixel of the finished tiles, of those being joined, and of the whole

T = TypeVar("T")
Way = tuple[tuple[str, ...], list[Stage]]  # names of the rungs, and the stages as they are then


def first_that_fits(ways: list[Way], attempt: Callable[[list[Stage]], T]) -> tuple[Way, T]:
    """The first way that the budget holds, and what `attempt` made of its stages. Raises DoesNotFit: of the thriftiest way,
    for that is the least that would do."""
    refused: DoesNotFit | None = None
    for rungs, stages in ways:
        try:
            return (rungs, stages), attempt(stages)
        except DoesNotFit as error:
            refused = error
    assert refused is not None
    raise refused


def thriftier(stages_of: Callable[[Shape], list[Stage]], shape: Shape, decoder: dict[str, Any] | None) -> Iterator[Way]:
    """The ways open to a run of `shape`; `decoder` is its autoencoder's configuration."""
    alone = replace(shape, batch=1)
    tile = tile_pixels(decoder, max(shape.width, shape.height)) if decoder else None
    if shape.batch > 1:
        if tile is not None:
            yield (SLICE,), _with_decode(stages_of(shape), stages_of(alone))
        yield (SINGLE,), stages_of(alone)
    if tile is not None:
        small = replace(alone, width=min(tile, shape.width), height=min(tile, shape.height))
        picture = shape.width * shape.height * PICTURE_BYTES
        tiled = stages_of(small)
        yield ((SLICE, TILE) if shape.batch > 1 else (TILE,)), _with_decode(stages_of(shape), tiled, picture)
        if shape.batch > 1:
            yield (SLICE, TILE, SINGLE), _with_decode(stages_of(alone), tiled, picture)


def decoder_config(weights: dict[str, Weights], family: Family) -> dict[str, Any] | None:
    """The autoencoder's configuration, its class named even where a single file leaves that to the family; None without one."""
    name = family.decoder or ""
    if name not in weights:
        return None
    named = family.blueprint.parts.get(name, ("", "")) if family.blueprint else ("", "")
    return {"_class_name": named[1]} | weights[name].config


def tile_pixels(config: dict[str, Any], pixels: int) -> int | None:
    """The side of a tile for a picture whose longer side has `pixels`; None where the autoencoder knows no tiles, or none so small.

    Tiles as the autoencoder has them; half the picture where that is no larger than one of them.
    """
    levels = config.get("block_out_channels") or config.get("decoder_block_out_channels") or ()
    own = {"AutoencoderKL": config.get("sample_size"), "AutoencoderTiny": 512}.get(config.get("_class_name", ""))
    if not isinstance(own, int) or not levels:
        return None
    scale = 2 ** (len(levels) - 1)
    cells = own // scale if pixels > own else pixels // scale // 2
    return cells * scale if cells >= SMALLEST_TILE else None


def _with_decode(stages: list[Stage], other: list[Stage], more: int = 0) -> list[Stage]:
    """`stages` with the working memory that decoding takes in `other`."""
    decode = next((stage.activation + more for stage in other if stage.name == "decode"), 0)
    return [replace(s, activation=min(s.activation, decode)) if s.name == "decode" else s for s in stages]
