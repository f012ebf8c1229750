"""Steps shown beside the run: in order, newest frames first, none lost, and never in the run's way."""

import math
import threading

import pytest
import torch

from studio.core.errors import StorageError
from studio.core.events import Step
from studio.engine.recorder import StepRecorder, norms_of
from studio.engine.tap import TapStep


class Preview:
    """Stands for a previewer: the JPEG names its step. Waits at `gate` so that a test decides how slow it is."""

    available = True

    def __init__(self, gate: threading.Event | None = None):
        self.gate = gate

    def shows(self, latents: torch.Tensor) -> bool:
        return True

    def frames(self, step: TapStep) -> dict[str, list[bytes]]:
        if self.gate is not None:
            assert self.gate.wait(30)
        rows = range(len(step.images))
        return {kind: [f"{step.index} {row} {kind}".encode() for row in rows] for kind in ("x0", "xt")}


def tap_step(index: int, total: int = 5, images: tuple[int, ...] = (0,), **changes: object) -> TapStep:
    x = torch.full((len(images), 4, 2, 2), 2.0)
    values = {
        "index": index, "total": total, "images": images, "timestep": 10.0 - index, "sigma": 1.0, "seconds": 0.1,
        "elapsed": 0.1 * (index + 1), "x_t": x, "x0": x / 2, "cond": x, "uncond": x / 2,
    }  # fmt: skip
    return TapStep(**(values | changes))  # type: ignore[arg-type]


def test_every_step_is_told_in_order_and_every_frame_ends_up_put_away() -> None:
    told: list[Step] = []
    put: dict[tuple[int, int, str], bytes] = {}
    order: list[int] = []
    gate = threading.Event()

    def put_frame(image: int, step: int, kind: str, jpeg: bytes) -> None:
        order.append(step)
        put[image, step, kind] = jpeg

    with StepRecorder(Preview(gate), told.append, put_frame, 2) as recorder:  # type: ignore[arg-type]
        for images in ((0, 1), (2,)):
            for index in range(5):
                recorder.take(tap_step(index, images=images))
        gate.set()
        recorder.catch_up()
        assert [(step.index, step.images) for step in told] == [(k, (0, 1)) for k in range(5)] + [
            (k, (2,)) for k in range(5)
        ]
    assert len(put) == 3 * 5 * 2 and put[1, 3, "xt"] == b"3 1 xt"
    assert order.index(4) < order.index(2)  # the newest was drawn before those that were passed over
    assert told[0].remaining == pytest.approx(0.9) and told[-1].remaining == 0
    assert all(step.frames == ("x0", "xt") for step in told)


def test_without_a_previewer_steps_are_told_without_frames() -> None:
    told: list[Step] = []
    with StepRecorder(None, told.append, lambda *_: pytest.fail("no frame was wanted"), 1) as recorder:
        recorder.take(tap_step(0, sigma=math.inf))
    assert told[0].frames == () and told[0].sigma is None


def test_a_full_disk_costs_frames_and_not_the_run() -> None:
    told: list[Step] = []

    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with StepRecorder(Preview(), told.append, full, 1) as recorder:  # type: ignore[arg-type]
        for index in range(3):
            recorder.take(tap_step(index))
            recorder.catch_up()
    assert [step.frames for step in told] == [()] * 3


def test_showing_that_fails_neither_stops_the_run_nor_leaves_it_waiting() -> None:
    seen: list[int] = []

    def emit(step: Step) -> None:
        seen.append(step.index)
        raise RuntimeError("nobody listens")

    with StepRecorder(None, emit, lambda *_: None, 1) as recorder:
        for index in range(3):
            recorder.take(tap_step(index))
            recorder.catch_up()
    assert seen == [0, 1, 2]


def test_norms_are_root_mean_squares_for_each_image() -> None:
    first, second = norms_of(tap_step(0, images=(0, 1)))
    assert first == second and (first.x_t, first.x0, first.difference) == (2.0, 1.0, 1.0)
    plain = tap_step(0, x0=None, cond=None, uncond=None)
    assert norms_of(plain)[0].model_dump(exclude_none=True) == {"x_t": 2.0}
    assert norms_of(tap_step(0, x_t=torch.full((1, 4, 2, 2), math.nan))) == ()
