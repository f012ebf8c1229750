"""Finds the trained model of points that a student learns from; where only its recipe is there, trains it first."""

import fcntl
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from studio.core.errors import InvalidRequest, ModelError
from studio.core.settings import PROJECT
from studio.training.config import DensityTask, load
from studio.training.density import MODEL
from studio.training.speedrun import recipe_hash

RECIPES = PROJECT / "presets" / "training"
FIELD = "task.teacher"


def point_teacher(name: str, runs: Path) -> tuple[DensityTask, dict[str, Tensor]]:
    """The task and the weights of a run of a density: of a folder, of a run's id in `runs`, or of a recipe's name.

    Raises InvalidRequest where there is none.
    """
    folders = (runs / name, PROJECT / name, (PROJECT / name).parent)  # the last of a run's model folder
    folder = next((f for f in folders if (f / "model" / MODEL).is_file()), None)
    if folder is None and (RECIPES / f"{Path(name).name}.yaml").is_file():
        folder = _trained(RECIPES / f"{Path(name).name}.yaml", runs / "teachers")
    if folder is None:
        raise InvalidRequest(f"There is no ended run, and no recipe, called {Path(name).name!r}.", field=FIELD)
    task = load(folder / "config.yaml").task
    if not isinstance(task, DensityTask):
        raise InvalidRequest(f"{folder.name} is no model of points.", field=FIELD)
    try:
        tensors = load_file(folder / "model" / MODEL)
    except Exception:
        raise ModelError(f"The model of {folder.name} cannot be read.") from None
    return task, {name.removeprefix("mlp."): value for name, value in tensors.items() if name.startswith("mlp.")}


def _trained(recipe: Path, folder: Path) -> Path:
    """A run of the recipe in `folder`, trained to its end unless it was; students share it."""
    from studio.training.trainer import Trainer

    config = load(recipe)
    if not isinstance(config.task, DensityTask):
        raise InvalidRequest(f"The recipe {recipe.stem} is none of points.", field=FIELD)
    run = folder / f"{recipe.stem}-{recipe_hash(config)}"
    run.mkdir(parents=True, exist_ok=True)
    with (run / "teacher.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another student may be training it
        if not (run / "model" / MODEL).is_file():
            for _ in Trainer(config, run, resume=(run / "config.yaml").exists()).run():
                pass
    return run
