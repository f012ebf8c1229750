"""Steps shown beside the run: in order, newest frames first, none lost, and never in the run's way."""

import math
import threading
from collections.abc import Iterator, Sequence

import pytest
import torch

from studio.core.errors import StorageError
from studio.core.events import Step
from studio.engine import recorder as recorder_module
from studio.engine.previews import Pixels, Previewer
from studio.engine.recorder import SideRecorder, StepRecorder, norms_of, recorder_for
from studio.engine.tap import TapStep

BOTH = pytest.mark.parametrize("kind", [StepRecorder, SideRecorder])


class Preview(Previewer):
    """Stands in for the previewer: the JPEG names its step. Waits at `gate` so that a test decides how slow it is."""

    def __init__(self, gate: threading.Event | None = None):
        super().__init__(Pixels())
        self.gate = gate

    def shows(self, latents: torch.Tensor) -> bool:
        return True

    def frames(self, steps: Sequence[TapStep]) -> Iterator[tuple[TapStep, str, int, bytes]]:
        for step in steps:
            if self.gate is not None:
                assert self.gate.wait(30)
            for kind in ("x0", "xt"):
                for row, image in enumerate(step.images):
                    yield step, kind, image, f"{step.index} {row} {kind}".encode()


def tap_step(index: int, total: int = 5, images: tuple[int, ...] = (0,), **changes: object) -> TapStep:
    x = torch.full((len(images), 4, 2, 2), 2.0)
    values = {
        "index": index, "total": total, "images": images, "timestep": 10.0 - index, "sigma": 1.0, "seconds": 0.1,
        "elapsed": 0.1 * (index + 1), "x_t": x, "x0": x / 2, "cond": x, "uncond": x / 2,
    }  # fmt: skip
    return TapStep(**(values | changes))


def test_beside_the_run_the_newest_step_is_drawn_first_and_every_frame_ends_up_put_away() -> None:
    emitted: list[Step] = []
    put: dict[tuple[int, int, str], bytes] = {}
    order: list[int] = []
    gate = threading.Event()

    def put_frame(image: int, step: int, kind: str, jpeg: bytes) -> None:
        order.append(step)
        put[image, step, kind] = jpeg

    with SideRecorder(Preview(gate), emitted.append, put_frame, 3) as recorder:
        for images in ((0, 1), (2,)):
            for index in range(5):
                recorder.on_step(tap_step(index, images=images))
        gate.set()
        recorder.catch_up()
        assert [(step.index, step.images) for step in emitted] == [(k, (0, 1)) for k in range(5)] + [
            (k, (2,)) for k in range(5)
        ]
    assert len(put) == 3 * 5 * 2 and put[1, 3, "xt"] == b"3 1 xt"
    assert order.index(4) < order.index(2)  # the newest was drawn before those that were passed over
    assert emitted[0].remaining == pytest.approx(0.9) and emitted[-1].remaining == 0
    assert all(step.frames == ("x0", "xt") for step in emitted)


def test_quick_steps_are_told_together_and_the_last_of_them_can_be_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(recorder_module.time, "monotonic", lambda: clock[0])
    emitted: list[tuple[float, int, bool]] = []
    put: list[tuple[int, int, str]] = []

    def emit(step: Step) -> None:
        assert step.frames == ("x0", "xt")
        emitted.append((clock[0], step.index, (0, step.index, "x0") in put and (0, step.index, "xt") in put))

    with StepRecorder(Preview(), emit, lambda *frame: put.append(frame[:3]), 1) as recorder:
        for index, clock[0] in enumerate((1.0, 1.05, 1.1, 1.16, 1.17, 2.0, 2.05)):
            recorder.on_step(tap_step(index, total=7))
        recorder.catch_up()
    assert [emitted_at for emitted_at, _, _ in emitted] == [1.0, 1.16, 1.16, 1.16, 2.0, 2.0, 2.05]
    assert [(index, drawn) for _, index, drawn in emitted] == [
        (0, True), (1, False), (2, False), (3, True), (4, False), (5, True), (6, True),
    ]  # fmt: skip
    assert sorted(put) == sorted((0, k, kind) for k in range(7) for kind in ("x0", "xt"))


def test_steps_that_wait_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "WAITING_BYTES", 3 * 2 * 16 * 4)  # three steps
    put: list[int] = []
    with StepRecorder(Preview(), lambda _: None, lambda *f: put.append(f[1]) if f[2] == "xt" else None, 1) as recording:
        for index in range(8):
            recording.on_step(tap_step(index))
            assert index - len(put) < 4
    assert sorted(put) == list(range(8))


def test_only_the_cpu_records_in_the_runs_thread() -> None:
    assert recorder_for(torch.device("cpu")) is StepRecorder
    assert recorder_for(torch.device("cuda")) is SideRecorder


@BOTH
def test_without_a_previewer_steps_are_told_without_frames(kind: type[StepRecorder]) -> None:
    emitted: list[Step] = []
    with kind(None, emitted.append, lambda *_: pytest.fail("no frame was wanted"), 1) as recorder:
        recorder.on_step(tap_step(0, sigma=math.inf))
    assert emitted[0].frames == () and emitted[0].sigma is None


@BOTH
def test_a_full_disk_costs_frames_and_not_the_run(kind: type[StepRecorder]) -> None:
    emitted: list[Step] = []

    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with kind(Preview(), emitted.append, full, 1) as recorder:
        for index in range(3):
            recorder.on_step(tap_step(index))
            recorder.catch_up()
    assert [step.frames for step in emitted] == [()] * 3


@BOTH
def test_showing_that_fails_neither_stops_the_run_nor_leaves_it_waiting(kind: type[StepRecorder]) -> None:
    seen: list[int] = []

    def emit(step: Step) -> None:
        seen.append(step.index)
        raise RuntimeError("nobody listens")

    with kind(None, emit, lambda *_: None, 1) as recorder:
        for index in range(3):
            recorder.on_step(tap_step(index))
            recorder.catch_up()
    assert seen == [0, 1, 2]


def test_norms_are_root_mean_squares_for_each_image() -> None:
    first, second = norms_of(tap_step(0, images=(0, 1)))
    assert first == second and (first.x_t, first.x0, first.difference) == (2.0, 1.0, 1.0)
    plain = tap_step(0, x0=None, cond=None, uncond=None)
    assert norms_of(plain)[0].model_dump(exclude_none=True) == {"x_t": 2.0}
    assert norms_of(tap_step(0, x_t=torch.full((1, 4, 2, 2), math.nan))) == ()
