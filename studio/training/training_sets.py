"""Which pictures a model of the catalog was trained on, for the view that compares it with them. Never loads torch.

A set is made once, by `studio.training.training_set` in a process of its own, and kept until its recipe or model changes.
"""

import hashlib
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

from studio.core.errors import InvalidRequest, NotFound, StudioError
from studio.core.models import ModelInfo
from studio.core.settings import PROJECT
from studio.training.config import DiffusionTask, PixelsTask, TrainConfig, load
from studio.training.datasets.folder import listing
from studio.training.runs import Runs
from studio.training.training_set import count_of

log = logging.getLogger(__name__)

PROGRAM = "studio.training.training_set"
SECONDS = 900.0
TRAINED = "trained/"  # where runs export their models


class TrainingSets:
    """`folder` keeps the sets; a model's recipe is that of its run, or the one in `recipes` that its card names."""

    def __init__(self, folder: Path, runs: Runs, recipes: Path):
        self._folder, self._runs, self._recipes = folder, runs, recipes
        self._one = threading.Lock()

    def path(self, model: ModelInfo, place: Path) -> Path:
        """The file of the model that lies in `place`; made if it is not there yet, which takes up to some minutes.

        Raises InvalidRequest where it is not known what the model was trained on.
        """
        config = self._config(model)
        version: list[object] = [
            config.data.model_dump(mode="json"),
            config.task.kind,
            count_of(config),
            _changed(place / "vae"),
        ]
        if config.data.folder:
            version.append(listing(config.data.folder).version)
        target = self._folder / f"{hashlib.sha256(json.dumps(version).encode()).hexdigest()[:24]}.safetensors"
        with self._one:
            if not target.is_file():
                self._make(config, place, target)
        return target

    def _config(self, model: ModelInfo) -> TrainConfig:
        try:
            if model.id.startswith(TRAINED):
                config = self._runs.config(model.id.removeprefix(TRAINED))
            elif model.recipe:
                config = load(self._recipes / f"{model.recipe}.yaml")
            else:
                raise NotFound("recipe", model.id)
        except StudioError:
            raise InvalidRequest(
                f"What {model.title} was trained on is not known here: it needs a model of the Train tab whose run is still "
                "there, or one of the starter kit.",
                field="model",
            ) from None
        if not isinstance(config.task, PixelsTask | DiffusionTask):
            raise InvalidRequest(
                f"{model.title} was not trained from nothing here, so its training set is not whole.", field="model"
            )
        return config

    def _make(self, config: TrainConfig, place: Path, target: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        recipe = target.with_suffix(".yaml")
        recipe.write_text(config.to_yaml(), encoding="utf-8")
        command = [sys.executable, "-m", PROGRAM, str(recipe), str(place.resolve()), str(target)]
        try:
            done = subprocess.run(command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise StudioError("The training pictures took longer than a quarter of an hour to draw.") from None
        finally:
            recipe.unlink(missing_ok=True)
        if not target.is_file():
            log.warning("A training set could not be made: %s", done.stderr[-4000:].decode(errors="replace"))
            raise StudioError(f"The training pictures of {config.title or config.name} could not be drawn again.")


def _changed(folder: Path) -> int:
    """When a part of the model was last written; 0 where it has none."""
    return max((file.stat().st_mtime_ns for file in folder.glob("*")), default=0)
