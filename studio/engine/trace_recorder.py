"""Keeps a run's steps as a trace: a safetensors file a picture with the denoiser's own outputs, bit-exact, and what was made
of them. The format is `core/traces.py`'s.

While the run lasts it keeps references alone; files are written by a thread beside it. Depends on no store: it is given a
function that keeps a file.
"""

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from studio.core.errors import StudioError
from studio.core.parts import Attention
from studio.core.parts.branch import history_of
from studio.core.recipe import Recipe
from studio.core.traces import ReadTrace, TraceInfo, metadata_of
from studio.engine.attention_maps import AttentionMaps
from studio.engine.effects import Context
from studio.engine.observers import Observer
from studio.engine.recorder import norms_of
from studio.engine.tap import TapStep

log = logging.getLogger(__name__)

MOST_BYTES = 512 * 2**20  # of a batch's tensors; a longer or larger run leaves no trace
ON_DEVICE = 64 * 2**20  # of them that stay in a device's own memory
NORMS = ("x_t", "x0", "cond", "uncond", "difference")

Keep = Callable[[str, Callable[[Path], None]], None]  # `pixels` of the picture, and what writes the file


class TraceRecorder(Observer):
    """Use as a context manager around a job's run; on leaving, every file is written."""

    def __init__(self, keep: Keep, read_trace: ReadTrace, prediction: str):
        self._keep, self._read_trace, self._prediction = keep, read_trace, prediction
        self._steps: list[TapStep] = []  # of the batch that runs
        self._bytes = self._on_device = 0
        self._attention: AttentionMaps | None = None
        self._writer = ThreadPoolExecutor(1, "trace-writer")
        self._written: list[Future[None]] = []

    def watching(self, context: Context) -> AbstractContextManager[Any]:
        """Attention is recorded where the request has the part for it."""
        part = next((part for part in context.request.parts if isinstance(part, Attention)), None)
        self._attention = None if part is None else AttentionMaps(context, part)
        return nullcontext() if self._attention is None else self._attention.watching()

    def on_step(self, step: TapStep) -> None:
        if self._attention is not None:
            self._attention.step_ended()
        if step.index == 0:
            self._steps, self._bytes, self._on_device = [], 0, 0
        self._bytes += _bytes(step)
        self._steps = [*self._steps, step] if self._bytes <= MOST_BYTES else []
        self._on_device += _bytes(step) if step.x_t.device.type != "cpu" else 0
        if self._on_device > ON_DEVICE:
            self._steps, self._on_device = [_on_cpu(step) for step in self._steps], 0

    def finished(self, recipe: Recipe) -> None:
        """The picture of the recipe, of the latest batch, is saved."""
        steps = [step for step in self._steps if recipe.index in step.images]
        if steps and len(steps) == steps[-1].index + 1 and recipe.pixels:
            self._written.append(self._writer.submit(self._write, steps, recipe, self._attention))

    def __enter__(self) -> "TraceRecorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._steps = []
        self._writer.shutdown()
        for each in self._written:
            if (problem := each.exception()) is not None:
                log.warning("A trace was not kept: %s", problem, exc_info=not isinstance(problem, StudioError))

    def _write(self, steps: list[TapStep], recipe: Recipe, attention: AttentionMaps | None) -> None:
        from safetensors.torch import save_file

        resumed, reseeded = history_of(recipe.request, self._read_trace)
        made = trace_of(steps, recipe, self._prediction)
        if made is None:
            return
        tensors, info = made
        maps, about = attention.tensors(steps[0].images.index(recipe.index)) if attention else ({}, None)
        info = info.model_copy(update={"resumed": resumed, "reseeded": reseeded, "attention": about})
        self._keep(recipe.pixels or "", lambda path: save_file(tensors | maps, path, metadata_of(info)))


def trace_of(
    steps: Sequence[TapStep], recipe: Recipe, prediction: str
) -> tuple[dict[str, torch.Tensor], TraceInfo] | None:
    """The tensors and the metadata of one image's trace; None for a run whose tensors change their shape on the way."""
    count = len(steps[0].images)
    place = steps[0].images.index(recipe.index)
    calls = [call for step in steps for call in step.calls]
    outputs = [[_own(output, place, count) for output in call.outputs] for call in calls]
    rows = [row for each in outputs for output in each for row in output]
    used = [_own(call.used, place, count) for call in calls]
    x_t = [step.x_t[place] for step in steps]
    if not all(outputs) or not all(map(_alike, (rows, used, x_t))):
        return None
    own, guided = torch.stack(rows), torch.cat(used)
    tensors = {"raw": own, "x_t": _half(x_t)}
    if guided.dtype != own.dtype or not torch.equal(guided, own):
        tensors["guided"] = guided
    if all(step.x0 is not None for step in steps):
        tensors["x0"] = _half([step.x0[place] for step in steps if step.x0 is not None])
    pair: dict[str, int | None] = {}
    if all(step.cond is not None and step.uncond is not None for step in steps):
        pairs = {name: [getattr(step, name)[place] for step in steps] for name in ("cond", "uncond")}
        last = [row for output in outputs[-len(steps[-1].calls)] for row in output]
        pair = {f"{name}_row": _row_of(each[-1], last) for name, each in pairs.items()}
        if None in pair.values():  # laid out otherwise than the state
            tensors |= {name: _half(each) for name, each in pairs.items()}
    elif all(step.cond is not None for step in steps):
        pair = {"cond_row": 0}
    info = TraceInfo(
        recipe=recipe,
        prediction=prediction,
        steps=len(steps),
        calls=len(calls),
        rows=tuple(sum(len(output) for output in each) for each in outputs),
        used_rows=len(used[0]),
        **pair,
    )
    return {name: tensor.cpu().contiguous() for name, tensor in (tensors | _curves(steps, place)).items()}, info


def _curves(steps: Sequence[TapStep], place: int) -> dict[str, torch.Tensor]:
    """One number a step, and one a call."""
    numbers: dict[str, list[Any]] = {
        name: [getattr(step, name) for step in steps] for name in ("timestep", "sigma", "alpha_bar", "scale", "seconds")
    }
    norms = [found[place] if (found := norms_of(step)) else None for step in steps]
    numbers |= {f"norm_{name}": [getattr(each, name, None) for each in norms] for name in NORMS}
    numbers["norm_guided"] = [_root_mean_square(step.guided, place) for step in steps]
    before: list[Any] = [None, *steps[:-1]]
    numbers["change_x0"] = [_change(a, b, place) for a, b in zip(before, steps, strict=True)]
    numbers["angle_guided"] = [_angle(step.cond, step.guided, place) for step in steps]
    numbers["angle_uncond"] = [_angle(step.cond, step.uncond, place) for step in steps]
    for name in ("angle_guided", "angle_uncond"):  # without guidance there is nothing between them
        numbers[name] = [None if s.uncond is None else angle for s, angle in zip(steps, numbers[name], strict=True)]
    numbers["call_timestep"] = [call.timestep for step in steps for call in step.calls]
    made = {name: torch.tensor([math.nan if n is None else n for n in each]) for name, each in numbers.items()}
    first = [sum(len(step.calls) for step in steps[:number]) for number in range(len(steps))]
    return {name: each.float() for name, each in made.items()} | {"first_call": torch.tensor(first, dtype=torch.int32)}


def _own(output: torch.Tensor, place: int, count: int) -> torch.Tensor:
    """Of the rows for `count` images, once or several times over, those of the image at `place`."""
    return output[place::count]


def _alike(tensors: Sequence[torch.Tensor]) -> bool:
    return len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1


def _half(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([tensor.half() for tensor in tensors])


def _row_of(prediction: torch.Tensor, rows: Sequence[torch.Tensor]) -> int | None:
    """Which row has the prediction in its first channels."""
    same = (number for number, row in enumerate(rows) if torch.equal(row[: len(prediction)], prediction))
    return next(same, None)


def _root_mean_square(tensor: torch.Tensor | None, place: int) -> float | None:
    return None if tensor is None else float(tensor[place].float().square().mean().sqrt())


def _change(before: TapStep | None, step: TapStep, place: int) -> float | None:
    if before is None or before.x0 is None or step.x0 is None:
        return None
    return _root_mean_square(step.x0 - before.x0, place)


def _angle(a: torch.Tensor | None, b: torch.Tensor | None, place: int) -> float | None:
    """In degrees; by the difference of the unit vectors, which is exact for small angles too."""
    if a is None or b is None or a.shape != b.shape:
        return None
    a, b = (each[place].double().flatten() for each in (a, b))
    if not float(a.norm()) or not float(b.norm()):
        return None
    apart, together = (a / a.norm() - b / b.norm()).norm(), (a / a.norm() + b / b.norm()).norm()
    return math.degrees(2 * math.atan2(float(apart), float(together)))


def _on_cpu(step: TapStep) -> TapStep:
    def moved(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.cpu()

    calls = tuple(
        replace(call, outputs=tuple(output.cpu() for output in call.outputs), used=call.used.cpu())
        for call in step.calls
    )
    return replace(
        step,
        x_t=step.x_t.cpu(),
        x0=moved(step.x0),
        cond=moved(step.cond),
        uncond=moved(step.uncond),
        guided=moved(step.guided),
        calls=calls,
    )


def _bytes(step: TapStep) -> int:
    tensors = [step.x_t, step.x0, *(tensor for call in step.calls for tensor in (*call.outputs, call.used))]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
