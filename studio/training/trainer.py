"""Runs a recipe: a generator of metrics, samples and checkpoints. To stop the training, stop iterating.

What is trained is a `Learner`. A run folder holds config.yaml, metrics.jsonl, samples/, checkpoints/ and, at the end, model/.
A resumed run is bit-equal to one that was not interrupted: a step depends on the recipe and its own number alone.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from studio.core.errors import InvalidRequest, NonFinite, StorageError
from studio.training import checkpoint
from studio.training.config import RESUMABLE, TrainConfig, load
from studio.training.ema import EMA
from studio.training.optim import optimizers, rate_at
from studio.training.tasks import learners


@dataclass(frozen=True)
class Metrics:
    """Metrics of a step; losses are means since the last report. `left` is the estimate of the seconds to the end."""

    step: int
    steps: int
    figures: dict[str, float]
    rate: float
    step_seconds: float
    left: float
    kind: Literal["metrics"] = field(default="metrics", init=False)


@dataclass(frozen=True)
class Sample:
    step: int
    path: str
    kind: Literal["sample"] = field(default="sample", init=False)


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: str
    final: bool
    kind: Literal["checkpoint"] = field(default="checkpoint", init=False)


Report = Metrics | Sample | Checkpoint


class Trainer:
    """One run in one folder. `resume` goes on from the newest whole checkpoint; without it the folder must be new."""

    def __init__(self, config: TrainConfig, folder: Path, resume: bool = False):
        self.config, self.folder = config, folder
        self.stopping = self.sampling = False
        self.wait: Callable[[], float] = lambda: 0.0  # before each step; the seconds that it took
        self._most = config.steps
        if resume:
            _check_same(config, folder)
        elif (folder / "config.yaml").exists():
            raise InvalidRequest(f"The run folder {folder.name} is in use; resume it, or choose another.", field="run")
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.learner = learners.get(config.task.kind)(config, folder)
        # A teacher that changes, a student's own average: written to checkpoints, but neither trained nor averaged.
        self.kept = self.learner.kept() if hasattr(self.learner, "kept") else {}
        parameters = [p for m in self.learner.modules().values() for p in m.parameters()]
        self.trained = [p for g in self.learner.groups() for _, p in g.parameters]
        self.ema = EMA(parameters, config.ema)
        self.optimizers = optimizers.get(config.optimizer.name)(self.learner.groups(), config.optimizer)
        self.step, self.counted = 0, 0
        self.sums: dict[str, float] = {}
        if resume:
            self._restore()
        self._keep_config()

    def stop(self) -> None:
        """Request a checkpoint and the end after the current step. Safe from a signal handler."""
        self.stopping = True

    def sample_now(self) -> None:
        """Request a sample after the current step. Safe from a signal handler."""
        self.sampling = True

    def end_at(self, steps: int) -> None:
        """Shorten the run while it is running, as resuming with fewer steps would; the decay of the rate follows.

        Raises InvalidRequest for more steps than it began with.
        """
        if steps > self._most:
            raise InvalidRequest(f"The run can be shortened only: it began with {self._most} steps.", field="steps")
        self.config = self.config.model_copy(update={"steps": steps})
        self._keep_config()

    def _keep_config(self) -> None:
        """Written whole or not at all: without it a run cannot be resumed."""
        part = self.folder / "config.part"
        part.write_text(self.config.to_yaml(), encoding="utf-8")
        part.replace(self.folder / "config.yaml")

    def run(self) -> Iterator[Report]:
        """Train to the last step, or until stopped; the last report is the final or the stopping checkpoint."""
        config = self.config
        since, began, first = time.perf_counter(), time.perf_counter(), self.step
        with self._workers_ended(), prefetched(self.learner.batch, self.step, config.steps) as batches:
            while self.step < self.config.steps and not self.stopping:
                waited = self.wait()
                since, began = since + waited, began + waited
                for name, value in self._advance(batches()).items():
                    self.sums[name] = self.sums.get(name, 0.0) + value
                self.counted += 1
                if self.step % config.log_every == 0 or self.step == self.config.steps:
                    now = time.perf_counter()
                    figures = {name: value / self.counted for name, value in self.sums.items()}
                    left = (now - began) / (self.step - first) * (self.config.steps - self.step)
                    seconds = (now - since) / min(self.counted, self.step - first)
                    self.sums, self.counted, since = {}, 0, now
                    yield self._log(figures, seconds, left)
                if self.sampling or self.step % config.sample_every == 0 or self.step == self.config.steps:
                    self.sampling = False
                    yield from self._show()
                    since = time.perf_counter()
                if self.step % config.save_every == 0 and self.step < self.config.steps:
                    yield self._save(final=False)
        final = self.step >= self.config.steps
        if final:
            with self.ema.applied():
                self.learner.export(self.folder / "model")
        yield self._save(final=final)

    @contextmanager
    def _workers_ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            if close := getattr(self.learner, "close", None):
                close()

    def _advance(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """One optimizer step."""
        config = self.config
        device = torch.device(config.device)
        factor = rate_at(self.step, config.steps, config.optimizer)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            loss, figures = self.learner.loss(self.step, on_device(batch, device))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained, config.optimizer.clip)
        values = {name: float(value.detach()) for name, value in {"loss": loss, "norm": norm, **figures}.items()}
        if not all(torch.isfinite(torch.tensor([values["loss"], values["norm"]]))):
            raise NonFinite(f"The loss of step {self.step} is not finite; lower the learning rate and resume.")
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.ema.update()
        self.step += 1
        return values

    def _log(self, figures: dict[str, float], seconds: float, left: float) -> Metrics:
        rate = rate_at(self.step - 1, self.config.steps, self.config.optimizer)
        metrics = Metrics(self.step, self.config.steps, figures, rate, seconds, left)
        self._append(asdict(metrics))
        return metrics

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise StorageError(f"The run's figures could not be written: {error.strerror}.") from None

    def _show(self) -> Iterator[Report]:
        """Held-out metrics and a sample, both with the averaged weights."""
        with self.ema.applied():
            figures = self.learner.evaluate()
            picture = self.learner.sample(self.step)
        if figures:
            yield self._log(figures, 0.0, 0.0)
        if picture is not None:
            path = self.folder / "samples" / f"step-{self.step:08d}.png"
            path.parent.mkdir(exist_ok=True)
            picture.save(path)
            yield Sample(self.step, str(path))

    def _save(self, final: bool) -> Checkpoint:
        state = {
            "step": self.step,
            "modules": {name: m.state_dict() for name, m in (self.learner.modules() | self.kept).items()},
            "optimizers": [o.state_dict() for o in self.optimizers],
            "ema": self.ema.state_dict(),
            "figures": {"sums": self.sums, "counted": self.counted},  # since the last report
        }
        return Checkpoint(self.step, str(checkpoint.save(self.folder / "checkpoints", self.step, state)), final)

    def _restore(self) -> None:
        path = checkpoint.newest(self.folder / "checkpoints")
        if path is None:
            self._cut_log()
            return
        state = checkpoint.load(path)
        for name, module in (self.learner.modules() | self.kept).items():
            module.load_state_dict(state["modules"][name])
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        self.ema.load_state_dict(state["ema"])
        self.step = int(state["step"])
        figures = state.get("figures", {"sums": {}, "counted": 0})
        self.sums, self.counted = figures["sums"], figures["counted"]
        self._cut_log()

    def _cut_log(self) -> None:
        """Figures of steps after the checkpoint are of a process that ended without one; the steps are done again."""
        path = self.folder / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        part = path.with_suffix(".part")
        part.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= self.step), encoding="utf-8")
        part.replace(path)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")  # half a line


def _check_same(config: TrainConfig, folder: Path) -> None:
    """Raise InvalidRequest if the recipe differs from that of the run in a field that is not RESUMABLE."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    old, new = load(path).model_dump(), config.model_dump()
    changed = sorted(name for name in new if name not in RESUMABLE and old[name] != new[name])
    if changed:
        raise InvalidRequest(f"The run was started with another {', '.join(changed)}; only its length may change.")


def on_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The batch on `device`, every tensor contiguous: kernels sum in an order that depends on the layout, so equal numbers
    in another layout give another loss."""
    return {name: value.to(device).contiguous() for name, value in batch.items()}


@contextmanager
def prefetched(make: Callable[[int], Any], start: int, end: int, ahead: int = 4) -> Iterator[Callable[[], Any]]:
    """Within the block, calls give make(start), make(start + 1), ..., computed ahead in a thread."""
    ready: queue.Queue[Any] = queue.Queue(maxsize=ahead)
    done = threading.Event()

    def work() -> None:
        for step in range(start, end):
            try:
                item = make(step)
            except BaseException as error:  # raised where the item is taken
                item = error
            while not done.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if done.is_set() or isinstance(item, BaseException):
                return

    def take() -> Any:
        item = ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        yield take
    finally:
        done.set()
        thread.join()
