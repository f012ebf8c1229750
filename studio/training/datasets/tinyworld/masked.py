"""Pictures with a mask around one object, and captions of what belongs there. Independent of how a model sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.training.masks import around

from .captions import canonical_caption, caption, say_ground, say_object
from .draw import render_array, silhouette
from .scene import Scene

KINDS = ("object", "removed")


def masked_object(
    scene: Scene, kind: str, rng: np.random.Generator, size: int, captions: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A picture [S, S, 3], a mask [S, S] around one of the scene's objects, and captions.

    "object": the picture has it; captions name it alone, it and the ground, or the whole scene.
    "removed": the picture has only the ground there; captions are of the rest.
    """
    chosen = scene.objects[int(rng.integers(len(scene.objects)))]
    mask = around(silhouette(chosen, size) > 0, rng)
    if kind == "removed":
        left = without(scene, scene.objects.index(chosen))
        said = canonical_caption(left) if left.objects else say_ground(left.ground)
        return render_array(left, size), mask, [said, say_ground(left.ground)][:captions]
    alone = say_object(chosen, None if chosen.size == "medium" else chosen.size)
    options = [alone, f"{alone}, {say_ground(scene.ground)}", caption(scene, rng), canonical_caption(scene)]
    return render_array(scene, size), mask, [options[i] for i in rng.permutation(len(options))[:captions]]


def without(scene: Scene, number: int) -> Scene:
    """The scene without one of its objects; those that are left keep their places."""
    left = scene.objects[:number] + scene.objects[number + 1 :]
    return replace(scene, objects=left, layout="row" if len(left) > 1 else "one")
