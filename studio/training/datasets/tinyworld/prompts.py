"""Prompts that no training scene of Tiny World has, to measure a model on held-out data."""

from __future__ import annotations

import numpy as np

from studio.core.errors import UnknownName
from studio.evaluation.expected import Prompt

from .captions import canonical_caption
from .draw import render_array
from .parsing import parse
from .sampling import sample_scene
from .scene import Scene

COUNTS = {"one": 1, "two": 2, "three": 3}


def held_out_scenes(kind: str, n: int, seed: int = 0) -> list[Scene]:
    """`n` held-out scenes of one, two or three objects, no two with the same canonical caption."""
    if kind not in COUNTS:
        raise UnknownName("kind of prompts", kind, list(COUNTS))
    rng = np.random.default_rng((seed, COUNTS[kind], 7919))
    scenes: dict[str, Scene] = {}
    while len(scenes) < n:
        scene = sample_scene(rng, "held_out", objects=(1.0,), counts=(COUNTS[kind],))
        scenes.setdefault(canonical_caption(scene), scene)
    return list(scenes.values())


def held_out_prompts(kind: str, n: int = 100, seed: int = 0) -> list[Prompt]:
    """Canonical captions of held-out scenes, with what they say."""
    texts = [canonical_caption(scene) for scene in held_out_scenes(kind, n, seed)]
    return [Prompt(text, parse(text)) for text in texts]


def held_out_renders(kind: str, n: int = 100, seed: int = 0, size: int = 128) -> tuple[list[np.ndarray], list[Prompt]]:
    """True pictures of held-out scenes and their prompts: which a probe should judge right."""
    scenes = held_out_scenes(kind, n, seed)
    texts = [canonical_caption(scene) for scene in scenes]
    return [render_array(scene, size) for scene in scenes], [Prompt(text, parse(text)) for text in texts]
