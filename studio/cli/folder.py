"""Writes images into a folder that the person names, with their recipes inside and no index."""

import secrets
import time
from pathlib import Path

from PIL.Image import Image

from studio.core import events
from studio.core.recipe import Recipe
from studio.jobs.archive import encode_png, saved_event
from studio.jobs.storage import PRIVATE, explained, write_atomically


class Folder:
    """A `jobs.saving.Sink`. The files are `YYYYMMDD-HHMMSS-<seed>-<id>.png`, and none is ever overwritten."""

    def __init__(self, outputs: Path):
        self.outputs = outputs
        self._recipes: dict[str, Recipe] = {}

    @property
    def private(self) -> Path:
        return self.outputs / PRIVATE

    def save(self, image: Image, recipe: Recipe, job: str) -> events.Image:
        image_id = secrets.token_hex(6)
        path = self.outputs / f"{time.strftime('%Y%m%d-%H%M%S')}-{recipe.seed}-{image_id}.png"
        with explained("save the image"):
            write_atomically(path, encode_png(image, recipe))
        self._recipes[image_id] = recipe
        return saved_event(image_id, recipe, image, path.name)

    def recipe(self, image_id: str) -> Recipe:
        return self._recipes[image_id]
