"""The tap: watches a stock pipeline's run from outside and reports each denoising step as a typed value.

It wraps `scheduler.step` on a fresh scheduler instance and hooks the denoiser's forward; the pipeline is not
changed. It counts steps, not scheduler calls (Heun calls twice a step). Independent of families: the layout of guidance
in a forward is given to it. Nothing is copied: steps hold references to tensors, which the schedulers replace rather than
overwrite. On leaving, all hooks are removed.
"""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from studio.core.errors import Cancelled, NonFinite
from studio.engine.layout import as_batch, conditional_first, own_part, pair_in
from studio.engine.levels import Level, level_of, number, predicted_x0
from studio.engine.samplers import step_ends
from studio.engine.schedulers.beginning import begins_at

FINITE_EVERY = 5  # steps between checks for NaN and infinity; the first and the last step are always checked


@dataclass(frozen=True)
class TapCall:
    """One call of the scheduler's `step`: each denoiser forward before it, (rows, ...), and the prediction that it was given,
    which guidance made of them."""

    timestep: float
    outputs: tuple[torch.Tensor, ...]
    used: torch.Tensor


@dataclass(frozen=True)
class TapStep:
    """One denoising step. Tensors are (images, ...) in the scheduler's own convention, detached, never to be written to."""

    index: int  # 0-based
    total: int  # of the run; of an adaptive sampler as expected now, which changes from step to step
    images: tuple[int, ...]  # indices within the job
    timestep: float
    sigma: float | None  # noise over signal of x_t, k-diffusion's sigma; sigma of flow matching as it stands
    seconds: float
    elapsed: float
    x_t: torch.Tensor  # the state that the step started from
    x0: torch.Tensor | None  # the clean picture that the first evaluation of the step predicts
    cond: torch.Tensor | None  # the denoiser's own output for the prompt
    uncond: torch.Tensor | None  # and for the negative prompt, where guided
    scale: float = 1.0  # x_t * scale has about the data's variance: what the denoiser is shown
    alpha_bar: float | None = None  # the share of the data's variance in x_t * scale
    guided: torch.Tensor | None = None  # what the first evaluation's outputs became: the prediction that was used
    calls: tuple[TapCall, ...] = ()  # of the scheduler, all that the step took


@dataclass(frozen=True)
class GuidanceLayout:
    """Where a forward keeps the conditional and the unconditional prediction."""

    kind: str  # "batch": both in one forward; "two_calls": one after the other; "none"; "inferred": from the numbers
    conditional_first: bool = False


class Changing(Protocol):
    """What may change the state after each of the scheduler's calls; see `engine.observers.Observer`."""

    def before_call(self, scheduler: Any, timestep: Any) -> None: ...

    def on_prediction(self, prediction: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor: ...

    def after_call(self, scheduler: Any, sample: torch.Tensor) -> torch.Tensor: ...


class Tap:
    """Collects what passes during one pipeline call over `images`; use through `tapped`."""

    def __init__(
        self,
        scheduler: Any,
        layout: GuidanceLayout,
        images: tuple[int, ...],
        on_step: Callable[[TapStep], None],
        cancelled: Callable[[], bool],
        generators: list[torch.Generator],
        spatial: Callable[[torch.Tensor], torch.Tensor],
        steps: int | None = None,
        changing: tuple[Changing, ...] = (),
    ):
        self.scheduler, self.layout, self.images, self._spatial = scheduler, layout, images, spatial
        self.on_step, self.cancelled, self.generators = on_step, cancelled, generators
        self._original = scheduler.step
        self._steps, self._changing = steps, changing
        self._place: float | None = None
        self._parameters = inspect.signature(scheduler.step).parameters
        self._ends: list[int] = []
        self._call = 0
        self._step = 0
        self._outputs: list[torch.Tensor] = []
        self._calls: list[TapCall] = []  # of the step that is being made
        self._conditional_first: bool | None = None  # None until the layout is inferred from the numbers
        self._first: dict[str, Any] | None = None  # what the step's first call showed
        self._began = self._mark = time.perf_counter()

    # -- the denoiser

    def before_forward(self, module: torch.nn.Module, args: Any) -> None:
        self._stop_if_cancelled()

    def after_forward(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        self._outputs.append(as_batch(output))

    # -- the scheduler

    def step(self, model_output: Any, timestep: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        """Stands in for `scheduler.step`: same arguments, same result."""
        self._stop_if_cancelled()
        if not self._ends:
            self._ends = step_ends(self.scheduler, self._steps, begins_at(self.scheduler, timestep))
        as_object = kwargs.pop("return_dict", True)
        if "generator" in self._parameters and not args and kwargs.get("generator") is None:
            # A pipeline that hands its steps no generator would draw their noise from the global one.
            kwargs["generator"] = self.generators if len(self.generators) > 1 else self.generators[0]
        for observer in self._changing:
            observer.before_call(self.scheduler, timestep)
            model_output = observer.on_prediction(model_output, timestep, sample)
        result = self._original(model_output, timestep, sample, *args, return_dict=True, **kwargs)
        for observer in self._changing:
            result.prev_sample = observer.after_call(self.scheduler, result.prev_sample)
        level, timestep = level_of(self.scheduler, timestep), number(timestep)
        x0 = getattr(result, "pred_original_sample", None)
        if x0 is None:
            x0 = predicted_x0(self.scheduler, level, model_output, sample)
        if self._first is None:
            self._first = {
                "x_t": sample,
                "x0": x0,
                "level": level,
                "timestep": timestep,
                "outputs": self._outputs,
                "used": model_output,
            }
        self._calls.append(TapCall(timestep, tuple(self._outputs), model_output.detach()))
        self._outputs = []
        place = self._place_of(timestep)
        if place != self._place:  # else the same step for another part of the picture
            if self._ends_step():
                self._end_step(result.prev_sample)
            self._call += 1
        self._place = place
        if as_object:
            return result
        # Some pipelines read a predicted x0 from the second place at one step, which not every scheduler gives.
        plain = result.to_tuple()
        return plain if len(plain) > 1 else (*plain, x0)

    def _ends_step(self) -> bool:
        """Whether the latest call ended a step; an adaptive scheduler says so itself."""
        found: bool | None = getattr(self.scheduler, "step_ended", None)
        return found if found is not None else self._call in self._ends[self._step : self._step + 1]

    def _end_step(self, after: torch.Tensor) -> None:
        index, total = self._step, getattr(self.scheduler, "expected_steps", len(self._ends))
        if index == 0 or index == total - 1 or index % FINITE_EVERY == 0:
            check_finite(after, f"after step {index + 1} of {total}")
        first = self._first or {}
        level: Level | None = first["level"]
        cond, uncond = self._guidance(first["outputs"], first["used"])
        now = time.perf_counter()
        step = TapStep(
            index=index,
            total=total,
            images=self.images,
            timestep=first["timestep"],
            sigma=level.ratio if level else None,
            seconds=now - self._mark,
            elapsed=now - self._began,
            x_t=self._ours(first["x_t"]),
            x0=None if first["x0"] is None else self._ours(_plain(first["x0"], level)),
            cond=cond,
            uncond=uncond,
            scale=level.input_scale if level else 1.0,
            alpha_bar=level.alpha_bar if level else None,
            guided=self._guided(first["used"], first["x_t"]),
            calls=tuple(self._calls),
        )
        self._step, self._first, self._calls = index + 1, None, []
        self.on_step(step)
        self._mark = now

    def _guided(self, used: torch.Tensor, x_t: torch.Tensor) -> torch.Tensor | None:
        """The prediction that was used, as `cond` and `uncond` are laid out; None where it is of another shape than the state."""
        own = used[:, : x_t.shape[1]] if self.layout.kind != "inferred" else own_part(used, x_t)
        return self._ours(own) if own.shape == x_t.shape else None

    def _guidance(
        self, outputs: list[torch.Tensor], used: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(conditional, unconditional) of the step's first evaluation, each with one row per image; `used`: what the
        scheduler was given of them."""
        if not outputs:
            return None, None
        if self.layout.kind == "inferred":
            return self._inferred(outputs, used)
        channels = self._first["x_t"].shape[1] if self._first else outputs[0].shape[1]
        # Less a learned variance, which may stand in a second half of the channels.
        count, outputs = len(self.images), [self._spatial(output[:, :channels]) for output in outputs]
        first = outputs[0]
        if self.layout.kind == "two_calls" and len(outputs) > 1:
            return (first, outputs[1]) if self.layout.conditional_first else (outputs[1], first)
        if self.layout.kind == "batch" and len(first) == 2 * count:
            head, tail = first.chunk(2)
            return (head, tail) if self.layout.conditional_first else (tail, head)
        return first[:count], None

    def _inferred(
        self, outputs: list[torch.Tensor], used: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The same where nothing is known of the layout but what passed; what is not of the state's shape is left out."""
        assert self._first is not None
        x_t, x0 = self._first["x_t"], self._first["x0"]
        state, channels = self._ours(x_t), x_t.shape[1]
        first, second = pair_in([self._spatial(own_part(output, x_t)) for output in outputs], len(self.images))
        if first is None or first.shape != state.shape:
            return None, None
        if second is None:
            return first, None
        if self._conditional_first is None:  # and so it stays
            # Some pipelines have a prediction of the picture itself become what the scheduler takes.
            made = [self._ours(one[:, :channels]) for one in (used, x0) if one is not None]
            self._conditional_first = conditional_first(first, second, *made)
        return (first, second) if self._conditional_first else (second, first)

    def _ours(self, tensor: torch.Tensor) -> torch.Tensor:
        """One row per image, where a pipeline carries the state twice for guidance."""
        return self._spatial(tensor.detach()[: len(self.images)])

    def _place_of(self, timestep: float) -> float:
        """Where the scheduler stands after a call: it moves on with each, unless its state was put back meanwhile."""
        counted = getattr(self.scheduler, "step_index", None) or getattr(self.scheduler, "counter", None)
        return timestep if counted is None else float(counted)

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled


@contextmanager
def tapped(
    pipeline: Any,
    denoiser: str | tuple[str, ...],  # names of the components that predict
    layout: GuidanceLayout,
    images: tuple[int, ...],
    *,
    on_step: Callable[[TapStep], None],
    cancelled: Callable[[], bool],
    generators: list[torch.Generator],
    spatial: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,  # (n, tokens, c) -> (n, c, h, w)
    scheduler_name: str = "scheduler",
    steps: int | None = None,  # that are asked for
    changing: tuple[Changing, ...] = (),
) -> Iterator[Tap]:
    """Watch one call of the pipeline. Raises Cancelled within one step, NonFinite if the state is no longer a number."""
    scheduler = getattr(pipeline, scheduler_name)
    tap = Tap(scheduler, layout, images, on_step, cancelled, generators, spatial, steps, changing)
    hooks = []
    for name in (denoiser,) if isinstance(denoiser, str) else denoiser:
        module = getattr(pipeline, name)
        hooks += [module.register_forward_pre_hook(tap.before_forward), module.register_forward_hook(tap.after_forward)]

    @functools.wraps(scheduler.step)  # pipelines look at its signature to know whether it takes a generator
    def step(*args: Any, **kwargs: Any) -> Any:
        return tap.step(*args, **kwargs)

    scheduler.step = step
    try:
        yield tap
    finally:
        for hook in hooks:
            hook.remove()
        del scheduler.step


def _plain(x0: torch.Tensor, level: Level | None) -> torch.Tensor:
    """A picture at the data's own scale, whatever the scheduler's convention."""
    return x0 if level is None or level.unit == 1 else x0 / level.unit


def check_finite(tensor: torch.Tensor, where: str) -> None:
    if not bool(torch.isfinite(tensor).all()):
        advice = "Try a lower CFG." if tensor.dtype == torch.float32 else "Try precision fp32, or a lower CFG."
        raise NonFinite(f"The model's numbers overflowed {where}, so there is no picture. {advice}")
