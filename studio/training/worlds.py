"""The drawn worlds whose pictures a probe can judge: their kinds of objects, held-out prompts and true pictures.

Independent of models and of how a probe is trained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.core.registry import Registry
from studio.evaluation.expected import Prompt
from studio.training.datasets import emoji, tinyworld


@dataclass(frozen=True)
class World:
    """`prompts(kind, n, seed)` and `renders(kind, n, seed, size)` are of `kind` one, two or three objects."""

    kinds: tuple[str, ...]
    prompts: Callable[[str, int, int], list[Prompt]]
    renders: Callable[[str, int, int, int], tuple[list[np.ndarray], list[Prompt]]]
    probe: Path


worlds: Registry[World] = Registry("world")  # by the name of the data set
worlds.add(
    "tinyworld",
    World(
        tinyworld.vocabulary.KINDS,
        tinyworld.held_out_prompts,
        tinyworld.held_out_renders,
        Path("models/starter/probe"),
    ),
)
worlds.add(
    "emoji",
    World(emoji.vocabulary.KINDS, emoji.held_out_prompts, emoji.held_out_renders, Path("models/starter/emoji-probe")),
)
