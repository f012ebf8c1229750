"""Makes an image again from its recipe, and says bit-identical or what differs. Knows recipes, not files."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import PIL.Image

from studio.core.errors import InvalidRequest, StudioError
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.recipe import Recipe, differences
from studio.core.request import GenerationRequest
from studio.engine.effects import ReadImage, TraceFile, no_images, no_traces
from studio.engine.generate import Watch
from studio.engine.observers import Calling, Observer
from studio.engine.stages import generate_all, planned
from studio.engine.tap import TapStep
from studio.manager.manager import Loaded, Manager


@dataclass(frozen=True)
class Replay:
    """`identical` is about pixels; `reasons` name what differs in how they were made. Differences are in 0..255 steps."""

    identical: bool
    reasons: tuple[str, ...]
    image: PIL.Image.Image
    recipe: Recipe
    largest: int | None = None  # largest difference of a channel, where the first picture was at hand
    mean: float | None = None

    @property
    def verdict(self) -> str:
        """One sentence for a person."""
        if self.identical:
            return "bit-identical"
        what = "; ".join(self.reasons) or "nothing recorded differs, yet the pixels do"
        size = "" if self.largest is None else f" (largest difference {self.largest} of 255, mean {self.mean:.3f})"
        return f"differs{size}: {what}"


def replay(
    recipe: Recipe,
    manager: Manager,
    models: list[ModelInfo],
    *,
    picture: PIL.Image.Image | None = None,  # the first one, to measure by how much they differ
    on_step: Callable[[TapStep], None] = lambda step: None,
    cancelled: Callable[[], bool] = lambda: False,
    read_image: ReadImage = no_images,
    trace_file: TraceFile = no_traces,
    observers: tuple[Observer, ...] = (),
) -> Replay:
    """Run the recipe's batch again, in its dtype, and compare. Raises UnknownName if the model is gone."""
    if recipe.pixels is None and picture is None:
        raise InvalidRequest("This recipe does not say what its picture was, so there is nothing to compare with.")
    info = find_model(models, recipe.model)
    channels_last = recipe.memory_format == "channels_last"

    def lease(number: int, wanted: ModelInfo, asked: GenerationRequest) -> AbstractContextManager[Loaded]:
        return manager.lease(wanted, recipe.dtype, channels_last=channels_last, request=asked)

    runs = planned(recipe.request, info, models)
    watch = Watch((Calling(on_step), *observers), cancelled, read_image, trace_file)
    results = list(generate_all(recipe.request, runs, lease, watch, recipe.index, lambda *_: recipe.as_run))
    again = next((result for result in results if result.index == recipe.index), None)
    if again is None:
        raise StudioError(f"The recipe names image {recipe.index}, but its request makes {recipe.request.count}.")
    return compare(recipe, again.recipe, again.image, picture)


def compare(then: Recipe, now: Recipe, image: PIL.Image.Image, picture: PIL.Image.Image | None) -> Replay:
    """Hold the new picture against the old recipe, and against the old picture if there is one."""
    largest = mean = None
    if picture is not None and picture.size == image.size:
        gap = np.abs(np.asarray(image.convert("RGB"), dtype=int) - np.asarray(picture.convert("RGB"), dtype=int))
        largest, mean = int(gap.max()), float(gap.mean())
    reasons = differences(then, now)
    identical = then.pixels == now.pixels if then.pixels is not None else largest == 0
    if then.pixels is not None and identical and largest:
        identical = False
        reasons.append("the picture itself was changed after it was made")
    return Replay(identical, tuple(reasons), image, now, largest, mean)
