"""A clocked speedrun: fixed data, a fixed figure, a fixed target, three seeds; how long a recipe takes to reach it.

The clock is processor time of the whole process from before the model is made until the target is met, less what the
evaluations took, so that a busy machine does not count. Records are rows of `docs/speedrun.md`; logs stay in `runs/speedrun`.
"""

import hashlib
import json
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.errors import InvalidRequest, UnknownName
from studio.core.settings import PROJECT
from studio.training.config import TrainConfig, load

if TYPE_CHECKING:
    from studio.training.trainer import Report

SEEDS = (1, 2, 3)
TABLE = PROJECT / "docs" / "speedrun.md"


@dataclass(frozen=True)
class Track:
    """`fixed` may not be changed by a recipe; a seed has reached the target when every figure is at most its own."""

    recipe: Path
    fixed: dict[str, Any]  # by dotted name
    targets: dict[str, float]
    every: int  # steps between evaluations


TRACKS = {
    "2d": Track(
        PROJECT / "presets" / "training" / "twod-eight-gaussians.yaml",
        {"task.kind": "density", "task.density": "eight_gaussians", "data.seed": 0, "threads": 1, "device": "cpu"},
        {"sliced_wasserstein": 0.1, "off_mode": 0.05},
        every=25,
    ),
}


@dataclass(frozen=True)
class Result:
    track: str
    recipe: str  # the hash of all that decides the weights but the seed
    seconds: tuple[float, ...]
    steps: tuple[int, ...]


def recipe_hash(config: TrainConfig) -> str:
    values = config.model_dump(
        mode="json", exclude={"seed", "name", "title", "about", "log_every", "sample_every", "save_every"}
    )
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def track_config(name: str, changes: dict[str, Any], recipe: Path | None = None) -> tuple[Track, TrainConfig]:
    """The track, and the recipe to be clocked on it. Raises InvalidRequest where that changes what is fixed."""
    if name not in TRACKS:
        raise UnknownName("speedrun", name, list(TRACKS), field="speedrun")
    track = TRACKS[name]
    config = load(recipe or track.recipe, changes)
    for dotted, value in track.fixed.items():
        found: Any = config
        for part in dotted.split("."):
            found = getattr(found, part, None)
        if found != value:
            raise InvalidRequest(f"The track {name} fixes {dotted} at {value}.", field=dotted)
    update = {"sample_every": track.every, "log_every": track.every, "save_every": config.steps}
    return track, config.model_copy(update=update)


def speedrun(
    name: str,
    changes: dict[str, Any],
    train: Callable[[TrainConfig, Path], "Generator[Report]"],
    folder: Path,
    recipe: Path | None = None,
) -> Result:
    """Train `config` with each seed until the target is met. Raises InvalidRequest for a seed that never meets it."""
    track, config = track_config(name, changes, recipe)
    mark, seconds, steps = recipe_hash(config), [], []
    for seed in SEEDS:
        run = folder / f"{name}-{mark}-seed{seed}"
        shutil.rmtree(run, ignore_errors=True)
        with closing(train(config.model_copy(update={"seed": seed}), run)) as reports:
            took, step = _clocked(reports, track)
        if not step:
            raise InvalidRequest(
                f"With seed {seed} the recipe does not reach the target within its {config.steps} steps."
            )
        seconds.append(round(took, 2))
        steps.append(step)
    return Result(name, mark, tuple(seconds), tuple(steps))


def _clocked(reports: "Iterator[Report]", track: Track) -> tuple[float, int]:
    """Seconds and steps to the target; 0 steps where it is not reached."""
    trained, last = 0.0, time.process_time()
    for report in reports:
        now = time.process_time()
        if report.kind == "metrics" and "loss" in report.figures:
            trained += now - last  # what follows, until the sample is written, is evaluation
        elif report.kind == "metrics" and all(report.figures[name] <= most for name, most in track.targets.items()):
            return trained, report.step
        last = now
    return 0.0, 0


def row(result: Result) -> str:
    mean, spread = statistics.mean(result.seconds), statistics.stdev(result.seconds)
    each, steps = (", ".join(f"{value:g}" for value in values) for values in (result.seconds, result.steps))
    return (
        f"| {result.track} | `{result.recipe}` | {each} | {mean:.2f} ± {spread:.2f} | {steps} | "
        f"{_processor()}, one core | {time.strftime('%Y-%m-%d')} |\n"
    )


def record(result: Result, table: Path = TABLE) -> None:
    """Add the row to the table, whose head is its last lines before the rows."""
    with table.open("a", encoding="utf-8") as file:
        file.write(row(result))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
