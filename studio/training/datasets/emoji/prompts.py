"""Sentences of the emoji world and what they say, and prompts that no training scene has."""

from __future__ import annotations

import numpy as np

from studio.core.errors import UnknownName
from studio.evaluation.expected import Expected, Prompt
from studio.training.datasets.tinyworld.captions import canonical_caption
from studio.training.datasets.tinyworld.parsing import object_pattern
from studio.training.datasets.tinyworld.parsing import parse as parse_sentence
from studio.training.datasets.tinyworld.prompts import COUNTS
from studio.training.datasets.tinyworld.scene import Scene

from .draw import render_array
from .glyphs import Glyphs, font_glyph
from .sampling import sample_scene
from .vocabulary import KINDS

_OBJECT = object_pattern(KINDS, ())


def parse(caption: str) -> Expected:
    """What `caption` says. Raises InvalidRequest where it is no sentence of the emoji world."""
    return parse_sentence(caption, _OBJECT)


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
    return [Prompt(text, parse(text)) for text in map(canonical_caption, held_out_scenes(kind, n, seed))]


def held_out_renders(
    kind: str, n: int = 100, seed: int = 0, size: int = 128, glyphs: Glyphs = font_glyph
) -> tuple[list[np.ndarray], list[Prompt]]:
    """True pictures of held-out scenes and their prompts: which a probe should judge right."""
    scenes = held_out_scenes(kind, n, seed)
    return [render_array(scene, size, glyphs) for scene in scenes], held_out_prompts(kind, n, seed)
