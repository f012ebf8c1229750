"""Turns the tap's steps into events and frames beside the denoising thread, so that showing a run does not slow it.

A side thread takes the steps; the newest one's frames come first, and what it could not keep up with is made when it
has time, at the latest when the recorder closes. Knows neither files nor processes: it is handed two functions.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

import torch

from studio.core.errors import StorageError
from studio.core.events import Norms, Step
from studio.engine.previews import Previewer
from studio.engine.tap import TapStep

log = logging.getLogger(__name__)

KINDS = ("x0", "xt")
WAITING_BYTES = 512 * 2**20  # of tensors kept for frames to come; past that the run waits for the recorder

PutFrame = Callable[[int, int, str, bytes], None]  # image, step, kind, JPEG


class StepRecorder:
    """Use as a context manager around a job's run; on leaving, every event is out and every frame is put away."""

    def __init__(self, previewer: Previewer | None, emit: Callable[[Step], None], put_frame: PutFrame, batches: int):
        self._previewer = previewer if previewer is not None and previewer.available else None
        self._emit, self._put_frame, self._batches = emit, put_frame, batches
        self._fresh: deque[TapStep] = deque()  # no event yet
        self._backlog: deque[TapStep] = deque()  # event out, frames to come
        self._changed = threading.Condition()
        self._busy = self._closing = False
        self._taken = 0
        self._thread = threading.Thread(target=self._work, name="step-recorder", daemon=True)

    def take(self, step: TapStep) -> None:
        """For the denoising thread: a matter of microseconds unless memory is short."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_bytes() < WAITING_BYTES)
            self._fresh.append(step)
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Wait until each step taken has had its event."""
        with self._changed:
            self._changed.wait_for(lambda: not self._fresh and not self._busy)

    def __enter__(self) -> "StepRecorder":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        # This thread's own operators stay on it: a second team of OpenMP threads would fight the denoiser's for the cores.
        torch.set_num_threads(1)
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._fresh or self._backlog or self._closing)
                if not self._fresh and not self._backlog:
                    return
                fresh = list(self._fresh)
                self._fresh.clear()
                late = None if fresh else self._backlog.popleft()
                self._busy = bool(fresh)
            try:
                self._show(fresh) if fresh else self._draw(late)
            except Exception:  # showing must neither stop the run nor leave it waiting
                log.exception("A step could not be shown.")

    def _show(self, fresh: list[TapStep]) -> None:
        """Tell all of the new steps, and draw the newest before it is told, so that its frames can be fetched at once."""
        *passed, newest = fresh
        for step in passed:
            self._tell(step)
        self._draw(newest)
        self._tell(newest)
        with self._changed:
            self._backlog.extend(passed if self._previewer is not None else ())

    def _tell(self, step: TapStep) -> None:
        self._taken += 1
        left = step.total - step.index - 1 + (self._batches - self._batch_of(step) - 1) * step.total
        self._emit(
            Step(
                index=step.index,
                total=step.total,
                images=step.images,
                timestep=step.timestep,
                sigma=step.sigma if step.sigma is not None and math.isfinite(step.sigma) else None,
                seconds=step.seconds,
                elapsed=step.elapsed,
                remaining=left * step.elapsed / (step.index + 1),
                norms=norms_of(step),
                frames=self._kinds(step),
            )
        )

    def _batch_of(self, step: TapStep) -> int:
        return (self._taken - 1) // step.total

    def _kinds(self, step: TapStep) -> tuple[str, ...]:
        """The frames that the step has or will have."""
        if self._previewer is None or not self._previewer.shows(step.x_t):
            return ()
        return KINDS if step.x0 is not None else ("xt",)

    def _draw(self, step: TapStep | None) -> None:
        if self._previewer is None or step is None:
            return
        try:
            for kind, jpegs in self._previewer.frames(step).items():
                for image, jpeg in zip(step.images, jpegs, strict=True):
                    self._put_frame(image, step.index, kind, jpeg)
        except (
            StorageError
        ) as error:  # a full disk costs the frames; whether it costs the image shows when that is saved
            log.warning("%s", error)
            self._previewer = None

    def _waiting_bytes(self) -> int:
        return sum(_bytes(step) for waiting in (self._fresh, self._backlog) for step in waiting)


def norms_of(step: TapStep) -> tuple[Norms, ...]:
    """Root mean square of each tensor, one Norms per image; empty if any x_t is no longer a number."""
    difference = step.cond - step.uncond if step.cond is not None and step.uncond is not None else None
    tensors = {"x_t": step.x_t, "x0": step.x0, "cond": step.cond, "uncond": step.uncond, "difference": difference}
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    rms = torch.stack(
        [torch.linalg.vector_norm(t.float().flatten(1), dim=1) / math.sqrt(t[0].numel()) for t in present.values()]
    ).tolist()  # (names, images)
    rows = [dict(zip(present, column, strict=True)) for column in zip(*rms, strict=True)]
    if not all(math.isfinite(row["x_t"]) for row in rows):
        return ()
    return tuple(Norms(**{name: value for name, value in row.items() if math.isfinite(value)}) for row in rows)


def _bytes(step: TapStep) -> int:
    return sum(t.numel() * t.element_size() for t in (step.x_t, step.x0) if t is not None)
