"""Training runs as folders and processes: started, paused, resumed, exported and deleted. Never loads torch.

A run is its own process, so it goes on when the page or the studio closes. It holds a lock on `run.lock` as long as it lives;
everything else is read from the files that the trainer writes.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest, NotFound, StorageError, StudioError
from studio.core.settings import PROJECT
from studio.core.training import RECIPE_GROUPS, DataView, RecipeView, RunView
from studio.training.config import FOLDER, TrainConfig, load, parse
from studio.training.datasets.folder import listing
from studio.training.form import fields
from studio.training.look import look
from studio.training.report import report
from studio.training.sharing import pictures_are_made

UPLOADS = "pictures"  # folder of uploaded zips, beside the runs
LOCK = "run.lock"
LOCKED = "UNNOISE_RUN_NICENESS"  # set for a process that inherits the lock
CONFIG, RECIPE, METRICS, LOG = "config.yaml", "recipe.yaml", "metrics.jsonl", "run.log"
NICENESS = 10  # a training leaves the processor to pictures that people wait for
TRIES = 10
_SAMPLE = re.compile(r"step-(\d{8})\.png")
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,80}")


class Runs:
    """`folder/<id>/` is a run, `recipes/*.yaml` what runs are started from; models are exported to `models/trained`."""

    def __init__(self, folder: Path, recipes: Path, models: Path, *, niceness: int = NICENESS):
        self.folder, self._recipes, self._models, self._niceness = folder, recipes, models, niceness

    def recipes(self) -> list[RecipeView]:
        """Those that can be read, by group, the ready and quick ones first; one that starts from another run's result says so where
        that is not there."""
        found = []
        for path in sorted(self._recipes.glob("*.yaml")):
            try:
                found.append(_recipe(path))
            except StudioError:
                continue
        order = list(RECIPE_GROUPS)
        return sorted(
            found,
            key=lambda each: (order.index(each.group), bool(each.problem), each.minutes or float("inf"), each.name),
        )

    def all(self) -> list[RunView]:
        """Newest first."""
        folders = [path for path in self.folder.glob("*") if _ID.fullmatch(path.name) and (path / LOCK).exists()]
        return sorted((self._view(path) for path in folders), key=lambda run: run.changed, reverse=True)

    def get(self, run: str) -> RunView:
        return self._view(self._path(run))

    def config(self, run: str) -> TrainConfig:
        path = self._path(run)
        return load(path / (CONFIG if (path / CONFIG).exists() else RECIPE))

    def metrics(self, run: str, after: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """Figures from byte `after` of the log on, whole lines only, and the position to ask from next."""
        try:
            with (self._path(run) / METRICS).open("rb") as file:
                after = (
                    after if 0 <= after <= file.seek(0, os.SEEK_END) else 0
                )  # a resumed run drops what it does again
                file.seek(after)
                data = file.read()
        except OSError:
            return 0, []
        data = data[: data.rfind(b"\n") + 1]
        return after + len(data), [json.loads(line) for line in data.splitlines() if line.strip()]

    def sample(self, run: str, step: int) -> Path:
        path = self._path(run) / "samples" / f"step-{step:08d}.png"
        if not path.is_file():
            raise NotFound("sample", str(step))
        return path

    def report(self, run: str) -> str:
        return report(self, run, self.config(run))

    def model(self, run: str) -> Path:
        """The folder of what an ended run has made."""
        path = self._path(run) / "model"
        if self.get(run).state != "done":
            raise InvalidRequest("This run has not ended with a model yet.")
        return path

    def weights(self, run: str, step: int) -> Path:
        path = self._path(run) / "weights" / f"step-{step:08d}.safetensors"
        if not path.is_file():
            raise NotFound("weights", str(step))
        return path

    def look(self, recipe: str, changes: dict[str, Any], *, anywhere: bool = True) -> DataView:
        """The data of the recipe with `changes`; unless `anywhere`, a person's own pictures must have been uploaded."""
        return look(self._changed_recipe(recipe, changes, anywhere).data)

    def new_upload(self) -> Path:
        """Where to write a zip that is being uploaded."""
        folder = self.folder / UPLOADS
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f".{secrets.token_hex(8)}.part"

    def keep_upload(self, part: Path, name: str) -> str:
        """Keep an uploaded zip of pictures, or remove it and raise InvalidRequest; what `data.folder` is to be."""
        stem = re.sub(r"[^\w-]+", "-", Path(name).stem)[:40].strip("-") or "pictures"
        target = part.with_name(f"{stem}-{secrets.token_hex(4)}.zip")
        try:
            os.replace(part, target)
            listing(str(target.resolve()))
        except OSError as error:
            raise StorageError(f"The zip could not be kept: {error.strerror}.") from None
        except StudioError as error:
            target.unlink(missing_ok=True)
            raise InvalidRequest(str(error).replace(target.name, name[:80]), field="data.folder") from None
        finally:
            part.unlink(missing_ok=True)
        return str(target.resolve())

    def _changed_recipe(self, recipe: str, changes: dict[str, Any], anywhere: bool) -> TrainConfig:
        view = next((each for each in self.recipes() if each.name == recipe), None)
        if view is None:
            raise NotFound("recipe", recipe)
        if view.problem:
            raise InvalidRequest(view.problem)
        config = parse(json.loads(json.dumps(view.config)), changes)
        if config.data.name == FOLDER:
            folder = (PROJECT / Path(config.data.folder.strip()).expanduser()).resolve()
            if not anywhere and not folder.is_relative_to((self.folder / UPLOADS).resolve()):
                raise InvalidRequest(
                    "A folder of the studio's machine can be chosen at that machine alone; upload a zip here.",
                    field="data.folder",
                )
            listing(config.data.folder)
        return config

    def start(self, recipe: str, changes: dict[str, Any], *, anywhere: bool = True) -> str:
        """Start a new run of the recipe with `changes` by dotted name ("optimizer.learning_rate"); its id."""
        config = self._changed_recipe(recipe, changes, anywhere)
        run = f"{config.name}-{time.strftime('%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        path = self.folder / run
        try:
            path.mkdir(parents=True)
            (path / RECIPE).write_text(config.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"The run's folder could not be made: {error.strerror}.") from None
        self._launch(path)
        return run

    def resume(self, run: str) -> None:
        """Go on from the newest checkpoint."""
        view = self.get(run)
        if view.state == "running":
            raise InvalidRequest("This run is running already.")
        if view.state == "done":
            raise InvalidRequest("This run has reached its last step.")
        self._launch(self._path(run))

    def pause(self, run: str) -> None:
        """Ask for a checkpoint and the end of its process; `resume` goes on from there."""
        self._signal(run, signal.SIGTERM)

    def sample_now(self, run: str) -> None:
        self._signal(run, signal.SIGUSR1)

    def fork(self, run: str) -> str:
        """A copy of a paused or ended run from its newest checkpoint, which can be resumed by itself; its id."""
        path = self._path(run)
        if _locked(path):
            raise InvalidRequest("Pause the run first; it is writing its files.")
        copy = f"{run[:60]}-{secrets.token_hex(2)}"
        try:
            shutil.copytree(path, self.folder / copy, ignore=shutil.ignore_patterns("model", "*.part"))
        except OSError as error:
            raise StorageError(f"The run could not be copied: {error.strerror}.") from None
        return copy

    def delete(self, run: str) -> None:
        path = self._path(run)
        if _locked(path):
            raise InvalidRequest("Pause the run before it is deleted.")
        shutil.rmtree(path, ignore_errors=True)

    def export(self, run: str) -> str:
        """Copy the trained model to where the catalog finds it; its id there."""
        view, path = self.get(run), self._path(run)
        if not view.exportable:
            raise InvalidRequest("This run has no model that pictures can be made with yet.")
        config, target = self.config(run), self._models / "trained" / run
        part = target.with_name(f".{run}.{os.getpid()}.part")
        trained, about = f"Trained here: {view.step:,} steps of {config.name}.", config.about
        card = {
            "title": view.title,
            "description": " ".join(text for text in (about.makes, trained, about.paper) if text),
            "defaults": about.defaults,
        }
        text = json.dumps(card, indent=2) + "\n"
        try:
            if config.task.exports == "file":
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(_file(path / "model"), part)
                target.with_name(f"{run}.unnoise.json").write_text(text, encoding="utf-8")
                os.replace(part, target.with_name(f"{run}.safetensors"))
            else:
                shutil.copytree(path / "model", part)
                (part / "unnoise.json").write_text(text, encoding="utf-8")
                shutil.rmtree(target, ignore_errors=True)
                os.replace(part, target)
        except OSError as error:
            raise StorageError(f"The model could not be written: {error.strerror}.") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
            part.unlink(missing_ok=True)
        return f"trained/{run}"

    def _path(self, run: str) -> Path:
        path = self.folder / run
        if not _ID.fullmatch(run) or not (path / LOCK).exists():
            raise NotFound("run", run)
        return path

    def _launch(self, path: Path) -> None:
        """Start the run's process. It inherits the lock, so there is no moment in which another could start as well."""
        with _lock(path) as lock, (path / LOG).open("ab") as log:
            log.truncate(0)
            resumed = ["--resume"] if (path / CONFIG).exists() else []
            recipe = path / (CONFIG if resumed else RECIPE)
            process = subprocess.Popen(
                [sys.executable, "-m", "studio", "train", str(recipe), "--run", str(path), "--json", *resumed],
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {LOCKED: str(self._niceness)},
                pass_fds=(lock,),
                start_new_session=True,
            )
            os.pwrite(lock, f"{process.pid}\n".encode(), 0)

    def _signal(self, run: str, number: int) -> None:
        path = self._path(run)
        if not _locked(path):
            raise InvalidRequest("This run is not running.")
        try:
            os.kill(int((path / LOCK).read_text().split()[0]), number)
        except (ValueError, IndexError, ProcessLookupError):
            pass  # it is about to start, or has just ended

    def _view(self, path: Path) -> RunView:
        config = self.config(path.name)
        latest = _latest(path / METRICS)
        samples = sorted(int(m[1]) for each in (path / "samples").glob("*.png") if (m := _SAMPLE.fullmatch(each.name)))
        running = _locked(path)
        ended = (path / "model").is_dir() and int(latest.get("step", 0)) >= config.steps
        message = "" if running or ended else _error(path / LOG)
        exported = f"trained/{path.name}"
        return RunView(
            id=path.name,
            title=config.title or config.name,
            kind=config.task.kind,
            waits=running and config.waits and pictures_are_made(self.folder),
            state="running" if running else "done" if ended else "failed" if message else "paused",
            step=int(latest.get("step", 0)),
            steps=config.steps,
            left=latest.get("left") if running else None,
            step_seconds=latest.get("step_seconds"),
            figures=latest.get("figures", {}),
            batch=config.batch,
            changed=max(_changed(path / METRICS), _changed(path / LOCK)),
            samples=tuple(samples),
            message=message,
            model=exported if any((self._models / f"{exported}{end}").exists() for end in ("", ".safetensors")) else "",
            exportable=ended and _exportable(config, path / "model"),
        )


def _exportable(config: TrainConfig, model: Path) -> bool:
    return _file(model).is_file() if config.task.exports == "file" else (model / "model_index.json").is_file()


def _file(model: Path) -> Path:
    """What a task has made that makes a file."""
    return next(iter(sorted(model.glob("*.safetensors"))), model / "none")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run's lock for the length of a `with`, unless this process inherited it. Raises InvalidRequest."""
    if niceness := os.environ.pop(LOCKED, ""):
        os.nice(int(niceness))
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder) as lock:
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(lock, folder.name)
        yield lock
    finally:
        os.close(lock)


def _take(lock: int, name: str) -> None:
    for _ in range(TRIES):  # whoever only looks whether it is held holds it for a moment
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    raise InvalidRequest(f"The run {name} is running already.", field="run")


def _locked(path: Path) -> bool:
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(lock)


def _latest(path: Path) -> dict[str, Any]:
    """The last report of a training step."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if "loss" in row.get("figures", {}):
            return dict(row)
    return {}


def _error(log: Path) -> str:
    """The sentence with which the run's process ended; empty where it ended because it was asked to."""
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    for line in reversed(lines):
        if line.startswith('{"error"'):
            return str(json.loads(line)["error"])
    if any(line.startswith("Traceback") for line in lines):
        return f"The training stopped with an error: {lines[-1][:200]}"
    return ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _recipe(path: Path) -> RecipeView:
    config = load(path)
    return RecipeView(
        name=path.stem,
        title=config.title or config.name,
        group=config.about.group,
        group_title=RECIPE_GROUPS[config.about.group],
        about=config.about.makes,
        minutes=config.about.minutes,
        measured_on=config.about.measured_on,
        problem=_missing(config),
        config=config.model_dump(mode="json"),
        fields=fields(config),
    )


def _missing(config: TrainConfig) -> str:
    """What a recipe starts from and is not there, in a sentence."""
    for name in ("autoencoder", "text", "base", "start_from"):
        folder = getattr(config.task, name, None)
        if isinstance(folder, str) and folder and not (PROJECT / folder).exists():
            return f"It starts from {folder}, which is not there; run the recipe that makes it first."
    return ""
