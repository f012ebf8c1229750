"""Emoji scenes: Tiny World's grammar, with pictures of the Noto Color Emoji font in place of drawn glyphs.

`EmojiWorld` is the map-style data set; a scene is a function of (seed, split, index) alone. Independent of torch and models.
"""

from __future__ import annotations

import numpy as np

from studio.core.errors import InvalidRequest, UnknownName
from studio.training.datasets.registry import datasets
from studio.training.datasets.tinyworld import Example
from studio.training.datasets.tinyworld.captions import caption
from studio.training.datasets.tinyworld.scene import Scene, Split

from . import glyphs, vocabulary
from .draw import render_array
from .prompts import held_out_prompts, held_out_renders, parse
from .sampling import sample_scene

__all__ = ["EmojiWorld", "held_out_prompts", "held_out_renders", "parse", "render_array", "sample_scene", "vocabulary"]

_SPLIT_STREAMS = {"train": 0, "held_out": 1}


@datasets.register("emoji")
class EmojiWorld:
    """Scenes without end: any index gives an example, the same one each time."""

    rivals = vocabulary.RIVALS

    def __init__(
        self,
        size: int = 128,  # side in pixels
        split: Split = "train",  # train | held_out
        seed: int = 0,  # another seed gives other scenes
        styles: tuple[str, ...] = ("flat",),  # the font has one style
        objects: tuple[float, float, float] = (0.5, 0.38, 0.12),  # shares of one, two and three objects
    ) -> None:
        if split not in _SPLIT_STREAMS:
            raise UnknownName("split", split, list(_SPLIT_STREAMS), field="split")
        if tuple(styles) != ("flat",):
            raise InvalidRequest("Emoji scenes have one drawing style: flat.", field="styles")
        self.size, self.split, self.seed, self.objects = size, split, seed, objects
        self.glyphs = glyphs.source()

    def _rng(self, index: int, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng((self.seed, _SPLIT_STREAMS[self.split], index, stream))

    def _sampled(self, index: int) -> tuple[Scene, np.random.Generator]:
        rng = self._rng(index)
        return sample_scene(rng, self.split, self.objects), rng

    def scene(self, index: int) -> Scene:
        """The scene alone, without drawing it."""
        return self._sampled(index)[0]

    def __getitem__(self, index: int) -> Example:
        scene, rng = self._sampled(index)
        return Example(render_array(scene, self.size, self.glyphs), caption(scene, rng), scene)

    def captions(self, start: int, count: int) -> list[str]:
        """Captions of a run of indices, for a tokenizer; nothing is drawn."""
        return [caption(*self._sampled(index)) for index in range(start, start + count)]

    def retellings(self, index: int, count: int) -> list[str]:
        """Other captions of the same picture; nothing is drawn."""
        scene, rng = self.scene(index), self._rng(index, 1)
        return [caption(scene, rng) for _ in range(count)]
