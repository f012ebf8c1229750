"""A branch's first steps, played back from the trace of the picture that it leaves.

The stock pipeline runs as ever: its scheduler steps through them, so its state and its noise are those of the first run. Only
the denoiser is not called: what it returned then is returned again, and the scheduler is given the predictions of then.
"""

import functools
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from diffusers.utils import BaseOutput

from studio.core.errors import InvalidRequest
from studio.core.parts import Branch
from studio.core.parts.branch import history_of
from studio.engine.differential import next_timestep
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.layout import spatial_of
from studio.engine.levels import level_at, number
from studio.engine.observers import Observer
from studio.engine.samplers import seed_scheduler, step_ends
from studio.engine.schedulers.beginning import begins_at
from studio.manager.disk.traces import read_trace

APART = 0.02  # by how much, relative to its size, a state or a noise level may differ from the recorded one
KEY = "branch"


class Prediction(BaseOutput):
    """What a denoiser returns where no tuple is asked for."""

    sample: Any = None


class Player(Observer):
    """Plays back the calls before the branch's first step, and puts the noise from there on another seed where one is given.

    With the sampler of the trace its calls are repeated one by one. Another sampler is given, at each step, the recorded
    prediction and afterwards the recorded state, so that it goes on from there with the history that it would have had.
    """

    def __init__(self, part: Branch, context: Context):
        from safetensors.torch import load_file

        path = context.trace_file(part.image)
        self.info, _ = read_trace(path)
        part.check(context.request, lambda pixels: self.info)
        _refuse_other_weights(self.info.recipe.weights, context)
        self.tensors = load_file(path)
        self.tensors.setdefault("guided", self.tensors["raw"])
        self.step, self.context = part.step, context
        self.resumed, self.reseeded = history_of(context.request, lambda pixels: self.info)
        self.spatial = spatial_of(context.request, context.loaded)
        self.same = context.request.sampler == self.info.recipe.request.sampler
        # Of each step before the branch's first, and of that, the number of its first call.
        self.starts: list[int] = self.tensors["first_call"][: self.step + 1].tolist() if self.same else []
        self.call, self.place, self.row = 0, 0, 0
        self.answer: Any = None

    # -- the denoiser

    @property
    def playing(self) -> bool:
        return self.call < self.starts[-1] if self.starts else self.step > 0

    def taking(self, *_: Any) -> None:
        """Before a forward."""
        self.answer = None

    def forward(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.playing:
            return original(*args, **kwargs)
        given = next(each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor | list))
        rows = self._rows(len(given)).to(given[0].device)
        sample = list(rows) if isinstance(given, list) else rows
        made = (sample,) if kwargs.get("return_dict") is False else Prediction(sample=sample)
        self.answer = self.answer or made  # what is added up of several forwards was recorded as the sum
        return made

    def answered(self, *_: Any) -> Any:
        """After a forward."""
        return self.answer

    def _rows(self, wanted: int) -> torch.Tensor:
        """The next `wanted` of the call's recorded rows; where guidance is another now, the conditional one for each."""
        info, call = self.info, self._recorded_call()
        first, count = sum(info.rows[:call]), info.rows[call]
        if self.context.loaded.family.guidance == "batch" and wanted != count:
            places = [info.cond_row or 0] * wanted
        else:
            places = [(self.row + number) % count for number in range(wanted)]
            self.row += wanted if self.answer is None else 0
        return self.tensors["raw"][[first + place for place in places]]

    def _recorded_call(self) -> int:
        """The trace's call that takes the present one's place."""
        if self.same:
            return self.call
        return int(self.tensors["first_call"][self._step() if self.starts else 0])

    def _step(self) -> int:
        return max(number for number, start in enumerate(self.starts) if start <= self.call)

    # -- the scheduler

    def before_call(self, scheduler: Any, timestep: Any) -> None:
        self.scheduler = scheduler
        if self.call == 0:
            self.place = begins_at(scheduler, timestep)
            self.starts = self.starts or [0, *(end + 1 for end in self._ends(timestep)[: self.step])]
        for step, seed in self.reseeded:
            if self.call == self.starts[step]:
                self._reseed(seed)

    def on_prediction(self, prediction: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor:
        if not self.playing:
            return prediction
        if self.call in self.starts:
            self._check(self.starts.index(self.call), timestep, sample)
        call, count = self._recorded_call(), self.info.used_rows
        used = self.tensors["guided"][[call * count + row % count for row in range(len(prediction))]]
        if used.shape != prediction.shape:
            raise _other("predictions of another shape")
        return used.to(prediction)

    def after_call(self, scheduler: Any, sample: torch.Tensor) -> torch.Tensor:
        self.call, self.place, self.row = self.call + 1, self.place + 1, 0
        step = self.starts.index(self.call) if self.call in self.starts else 0
        return self._state(step, sample) if 0 < step <= self.resumed else sample

    def _ends(self, timestep: Any) -> list[int]:
        run = self.context.request.task.steps_run
        asked = self.context.request.steps
        if run(asked, self.context.loaded.info.capabilities.partial_steps) != self.info.steps:
            raise _other("another number of steps")
        return step_ends(self.scheduler, asked, begins_at(self.scheduler, timestep))

    def _state(self, step: int, sample: torch.Tensor) -> torch.Tensor:
        """The recorded state of a step in the convention and layout of the scheduler's."""
        level = level_at(self.scheduler, next_timestep(self.scheduler, self.place), self.place)
        scale = float(self.tensors["scale"][step]) / (level.input_scale if level else 1.0)
        state = (self.tensors["x_t"][step : step + 1].float() * scale).half()  # as it is recorded again, exactly
        state = self.spatial.folded(state.to(sample.device), sample).to(sample.dtype)
        return state.repeat(len(sample) // len(state), *(1,) * (state.ndim - 1))

    def _check(self, step: int, timestep: Any, sample: torch.Tensor) -> None:
        """The run goes as the recorded one did, so that its predictions mean the same."""
        level = level_at(self.scheduler, timestep, begins_at(self.scheduler, timestep))
        was, now = float(self.tensors["sigma"][step]), level.ratio if level else math.nan
        if was != now and abs(was - now) > APART * max(abs(was), 1e-3):
            raise _other(f"another noise level at step {step} ({now:.3g}, and it was {was:.3g})")
        if self.same and float(torch.tensor(number(timestep))) != float(self.tensors["call_timestep"][self.call]):
            raise _other(f"another timestep at step {step}")
        state = self.spatial(sample.detach()[:1]).float().cpu() * (level.input_scale if level else 1.0)
        recorded = self.tensors["x_t"][step : step + 1].float() * float(self.tensors["scale"][step])
        if state.shape != recorded.shape or float((state - recorded).norm()) > APART * float(recorded.norm()):
            raise _other(f"another state at step {step}")

    def _reseed(self, seed: int) -> None:
        for generator in self.context.generators:
            generator.manual_seed(seed)
        seed_scheduler(self.scheduler, [seed])
        if getattr(self.scheduler, "noise_sampler", None) is not None:
            self.scheduler.noise_sampler = None  # made again from the seed


def observers(parts: tuple[Branch, ...], context: Context) -> tuple[Observer, ...]:
    context.kept[KEY] = Player(parts[0], context)
    return (context.kept[KEY],)


@contextmanager
def around(parts: tuple[Branch, ...], context: Context) -> Iterator[None]:
    """The denoiser's forward is the player's; a ControlNet, whose output goes to the denoiser alone, is called once for all
    calls that are played back."""
    player: Player = context.kept[KEY]
    denoiser = getattr(context.pipeline, context.loaded.family.denoiser)
    control = getattr(context.pipeline, "controlnet", None)
    with ExitStack() as stack:
        stack.enter_context(_with_forward(denoiser, functools.partial(player.forward, denoiser.forward)))
        stack.callback(denoiser.register_forward_pre_hook(player.taking).remove)
        stack.callback(denoiser.register_forward_hook(player.answered).remove)
        if control is not None:
            stack.enter_context(_with_forward(control, _once_while(player, control.forward)))
        yield


def _once_while(player: Player, original: Any) -> Any:
    kept: list[Any] = []

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not player.playing or not kept:
            kept[:] = [original(*args, **kwargs)]
        return kept[0]

    return forward


@contextmanager
def _with_forward(module: torch.nn.Module, forward: Any) -> Iterator[None]:
    original, own = module.forward, "forward" in vars(module)
    module.forward = functools.wraps(original)(forward)
    try:
        yield
    finally:
        if own:
            module.forward = original
        else:
            del module.forward


def _refuse_other_weights(then: dict[str, str], context: Context) -> None:
    name = context.loaded.family.denoiser
    now = context.loaded.weights
    if name in then and name in now and then[name] != now[name]:
        raise InvalidRequest(
            f"{context.loaded.info.title} has other weights now than when the picture was made, so its steps cannot be played "
            "back.",
            field="model",
        )


def _other(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The picture's steps cannot be played back: this run has {what}. A branch keeps all that decides its first steps, "
        "and a sampler only fits that has the same noise levels."
    )


PART_EFFECTS.add("branch", Effect(around=around, observers=observers))
