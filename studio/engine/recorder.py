"""Turns the tap's steps into events and frames, so that every step of a run can be seen and the run hardly notices.

Quick steps are reported several at a time, seven times a second, and the last of them is drawn before it is reported;
the others are drawn when the run is over. Knows neither files nor processes: it is given two functions.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import torch

from studio.core.errors import StorageError
from studio.core.events import Norms, Step
from studio.core.frames import FRAMES, XT
from studio.engine.observers import Observer
from studio.engine.previews import Previewer
from studio.engine.tap import TapStep

log = logging.getLogger(__name__)

PACE = 0.15  # seconds between two reports of steps; slower ones are reported one by one
WAITING_BYTES = 512 * 2**20  # of tensors kept for frames to come; past that they are drawn without delay

PutFrame = Callable[[int, int, str, bytes], None]  # image, step, kind, JPEG


class StepRecorder(Observer):
    """Use as a context manager around a job's run; on leaving, every event is out and every frame is put away.

    Works in the run's own thread, for on a CPU the denoiser has every core: a thread beside it costs twice as much.
    """

    def __init__(self, previewer: Previewer | None, emit: Callable[[Step], None], put_frame: PutFrame, images: int):
        self._previewer = previewer
        self._emit, self._put_frame, self._images = emit, put_frame, images
        self._fresh: deque[TapStep] = deque()  # no event yet
        self._later: deque[TapStep] = deque()  # event out, frames to come
        self._reported_at = -math.inf
        self._done = 0  # images of which every step was taken

    def on_step(self, step: TapStep) -> None:
        """A matter of microseconds, save for one step in PACE seconds."""
        self._fresh.append(step)
        if time.monotonic() - self._reported_at >= PACE or self._waiting_bytes() > WAITING_BYTES:
            self.catch_up()

    def catch_up(self) -> None:
        """Report each step that was taken."""
        fresh = list(self._fresh)
        self._fresh.clear()
        self._show(fresh)

    def __enter__(self) -> "StepRecorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.catch_up()
        self._draw(self._later)

    def _show(self, fresh: list[TapStep]) -> None:
        """Draw the newest, so that its frames can be fetched when it is reported, and report all."""
        if not fresh:
            return
        self._draw(fresh[-1:])
        for step in fresh:
            try:
                self._report(step)
            except Exception:  # showing must not stop the run
                log.exception("A step could not be reported.")
        if self._previewer is not None:
            self._later.extend(fresh[:-1])
        while self._waiting_bytes() > WAITING_BYTES:
            self._draw([self._later.popleft()])
        self._reported_at = time.monotonic()

    def _report(self, step: TapStep) -> None:
        # Batches like this one that are to come: how many images go together may change while a job runs.
        others = math.ceil(max(self._images - self._done - len(step.images), 0) / len(step.images))
        left = step.total - step.index - 1 + others * step.total
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
        self._done += len(step.images) if step.index + 1 == step.total else 0

    def _kinds(self, step: TapStep) -> tuple[str, ...]:
        """The frames that the step has or will have."""
        if self._previewer is None or not self._previewer.shows(step.x_t):
            return ()
        return tuple(FRAMES) if step.x0 is not None else (XT.name,)

    def _draw(self, steps: Sequence[TapStep]) -> None:
        if self._previewer is None:
            return
        try:
            for step, kind, image, jpeg in self._previewer.frames(steps):
                self._put_frame(image, step.index, kind, jpeg)
        except StorageError as error:
            # A full disk costs the frames; whether it costs the image shows when that is saved.
            log.warning("%s", error)
            self._previewer = None
            self._later.clear()
        except Exception:
            log.exception("Steps could not be drawn.")

    def _waiting_bytes(self) -> int:
        return sum(_bytes(step) for step in (*self._fresh, *self._later))  # copies first: a thread may change them


class SideRecorder(StepRecorder):
    """The same in a thread beside the run, for devices that the run's own thread must keep supplied with work.

    Steps passed over are drawn when there is time, at the latest when the run is over.
    """

    def __init__(self, previewer: Previewer | None, emit: Callable[[Step], None], put_frame: PutFrame, images: int):
        super().__init__(previewer, emit, put_frame, images)
        self._changed = threading.Condition()
        self._busy = self._closing = False
        self._thread = threading.Thread(target=self._work, name="step-recorder", daemon=True)

    def on_step(self, step: TapStep) -> None:
        """A matter of microseconds unless memory is short."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_bytes() < WAITING_BYTES)
            self._fresh.append(step)
            self._changed.notify_all()

    def catch_up(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._fresh and not self._busy)

    def __enter__(self) -> "SideRecorder":
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
        torch.set_num_threads(1)  # a second team of OpenMP threads would fight the run's own
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._fresh or self._later or self._closing)
                if not self._fresh and not self._later:
                    return
                fresh = list(self._fresh)
                self._fresh.clear()
                late = None if fresh else self._later.popleft()
                self._busy = bool(fresh)
            if late is None:
                self._show(fresh)
            else:
                self._draw([late])


def recorder_for(device: torch.device) -> type[StepRecorder]:
    """What suits a run on the device."""
    return StepRecorder if device.type == "cpu" else SideRecorder


def norms_of(step: TapStep) -> tuple[Norms, ...]:
    """Root mean square of each tensor, one Norms per image; empty if any x_t is no longer a number."""
    difference = step.cond - step.uncond if step.cond is not None and step.uncond is not None else None
    tensors = {"x_t": step.x_t, "x0": step.x0, "cond": step.cond, "uncond": step.uncond, "difference": difference}
    present = {name: tensor.flatten(1).float() for name, tensor in tensors.items() if tensor is not None}
    root = math.sqrt(present["x_t"].shape[1])
    norms = torch.linalg.vector_norm(torch.stack(list(present.values())), dim=2).tolist()  # (names, images)
    rows = [
        {name: norm / root for name, norm in zip(present, column, strict=True)} for column in zip(*norms, strict=True)
    ]
    if not all(math.isfinite(row["x_t"]) for row in rows):
        return ()
    return tuple(Norms(**{name: value for name, value in row.items() if math.isfinite(value)}) for row in rows)


def _bytes(step: TapStep) -> int:
    return sum(t.numel() * t.element_size() for t in (step.x_t, step.x0) if t is not None)
