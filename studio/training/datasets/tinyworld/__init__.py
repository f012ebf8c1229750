"""Tiny World: endless illustrated scenes, each with its caption and its exact maps.

`TinyWorld` is the map-style data set; a scene is a function of (seed, split, index) alone, so that any worker,
process or later run draws the same. Independent of torch and models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.core.errors import InvalidRequest, UnknownName
from studio.training.datasets.registry import datasets

from . import vocabulary
from .captions import canonical_caption, caption, placeless_caption
from .draw import render, render_array
from .maps import CONTROLS, Box, Maps, maps
from .masked import KINDS, masked_object
from .parsing import parse
from .prompts import held_out_prompts, held_out_renders, held_out_scenes
from .sampling import sample_scene
from .scene import Ground, Scene, SceneObject, Split, is_held_out, split_of

__all__ = [
    "Box",
    "Example",
    "Ground",
    "Maps",
    "Scene",
    "SceneObject",
    "TinyWorld",
    "canonical_caption",
    "caption",
    "held_out_prompts",
    "held_out_renders",
    "held_out_scenes",
    "is_held_out",
    "maps",
    "parse",
    "placeless_caption",
    "render",
    "render_array",
    "sample_scene",
    "split_of",
    "vocabulary",
]

_SPLIT_STREAMS = {"train": 0, "held_out": 1}


@dataclass(frozen=True, slots=True)
class Example:
    image: np.ndarray  # [H, W, 3] uint8
    caption: str
    scene: Scene


@datasets.register("tinyworld")
class TinyWorld:
    """Scenes without end: any index gives an example, the same one each time."""

    masked_objects = KINDS  # kinds of masks around an object
    controls = tuple(CONTROLS)  # maps as pictures, for ControlNets

    def __init__(
        self,
        size: int = 128,  # side in pixels
        split: Split = "train",  # train | held_out
        seed: int = 0,  # another seed gives other scenes
        styles: tuple[str, ...] = ("flat",),  # flat | outline | soft | pixel
        objects: tuple[float, float, float] = (0.55, 0.33, 0.12),  # shares of one, two and three objects
    ) -> None:
        if split not in _SPLIT_STREAMS:
            raise UnknownName("split", split, list(_SPLIT_STREAMS), field="split")
        if not styles:
            raise InvalidRequest("Name at least one drawing style.", field="styles")
        for style in styles:
            if style not in vocabulary.STYLES:
                raise UnknownName("drawing style", style, list(vocabulary.STYLES), field="styles")
        self.size, self.split, self.seed, self.styles, self.objects = size, split, seed, styles, objects

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, _SPLIT_STREAMS[self.split], index))

    def scene(self, index: int) -> Scene:
        """The scene alone, without drawing it."""
        return sample_scene(self._rng(index), self.split, self.styles, self.objects)

    def __getitem__(self, index: int) -> Example:
        rng = self._rng(index)
        scene = sample_scene(rng, self.split, self.styles, self.objects)
        return Example(render_array(scene, self.size), caption(scene, rng), scene)

    def captions(self, start: int, count: int) -> list[str]:
        """Captions of a run of indices, for a tokenizer; nothing is drawn."""
        out = []
        for index in range(start, start + count):
            rng = self._rng(index)
            out.append(caption(sample_scene(rng, self.split, self.styles, self.objects), rng))
        return out

    def retellings(self, index: int, count: int) -> list[str]:
        """Other captions of the same picture; nothing is drawn."""
        rng = np.random.default_rng((self.seed, _SPLIT_STREAMS[self.split], index, 1))
        scene = self.scene(index)
        return [caption(scene, rng) for _ in range(count)]

    def placeless(self, index: int, count: int) -> list[str]:
        """Captions of the same picture that say neither places nor sizes; nothing is drawn."""
        rng = np.random.default_rng((self.seed, _SPLIT_STREAMS[self.split], index, 2))
        scene = self.scene(index)
        return [placeless_caption(scene, rng) for _ in range(count)]

    def control(self, index: int, name: str) -> np.ndarray:
        """An exact map of the picture, as a ControlNet sees it: [S, S, 3] uint8."""
        return CONTROLS[name](maps(self.scene(index), self.size))

    def masked_object(
        self, index: int, kind: str, rng: np.random.Generator, captions: int
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """A picture with a mask around one object, and captions of what belongs there."""
        return masked_object(self.scene(index), kind, rng, self.size, captions)
