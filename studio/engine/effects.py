"""What a task or a part adds to a pipeline's call, and what it changes of the pipeline for the length of the call.

One file a task in `engine/tasks`, one a part in `engine/parts`; each registers an `Effect` under its kind. Nothing here
knows a kind.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from studio.core.errors import NotFound
from studio.core.parts import PartBase
from studio.core.registry import Registry
from studio.core.request import GenerationRequest
from studio.core.traces import NoTrace
from studio.engine.observers import Observer
from studio.engine.resize import resize
from studio.manager.families import accepted
from studio.manager.manager import Loaded

TraceFile = Callable[[str], Path]  # of a picture's run, by its `pixels`; raises NoTrace
ReadImage = Callable[[str], PIL.Image.Image]  # a picture of the input store by its hash; raises NotFound


def no_images(digest: str) -> PIL.Image.Image:
    """For runs that start from no picture."""
    raise NotFound("input", digest)


def no_traces(pixels: str) -> Path:
    """For runs that know no other's trace."""
    raise NoTrace


@dataclass(frozen=True)
class Context:
    """What an effect may look at. `handed` is what the stage before made: tensors with one row an image."""

    request: GenerationRequest
    loaded: Loaded
    pipeline: Any
    images: tuple[int, ...]  # indices within the job of those that are denoised together
    handed: dict[str, Any]
    read_image: ReadImage
    generators: tuple[torch.Generator, ...] = ()  # one an image, in the state in which the pipeline will take them
    trace_file: TraceFile = no_traces
    kept: dict[str, Any] = field(default_factory=dict)  # what an effect made, for later in the same call
    notes: list[str] = field(default_factory=list)  # for the recipe

    def takes(self, name: str) -> bool:
        """Whether the pipeline's call has a parameter of that name."""
        return name in accepted(self.pipeline)

    def framed(self, picture: PIL.Image.Image, how: str) -> PIL.Image.Image:
        """`picture`, which belongs to the task's own, as the model sees that: the same region, at the run's size."""
        shown = self.kept.get("framed")
        return shown(picture) if shown else resize(picture, self.size, how)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures asked for."""
        return self.request.width or 0, self.request.height or 0


@dataclass(frozen=True)
class Effect:
    """`arguments(value, context)`: what the call is given beside the family's. `around(value, context)`: held during the
    call, and undoes on leaving what it changed. `observers(value, context)`: who watches the call beside the run's own.
    `finished(value, context, picture)`: what becomes of each picture. A task's value is the task, a part's all parts of its
    kind."""

    arguments: Callable[[Any, Context], dict[str, Any]] = lambda value, context: {}
    around: Callable[[Any, Context], AbstractContextManager[Any]] = lambda value, context: nullcontext()
    observers: Callable[[Any, Context], tuple[Observer, ...]] = lambda value, context: ()
    finished: Callable[[Any, Context, PIL.Image.Image], PIL.Image.Image] = lambda value, context, picture: picture


TASK_EFFECTS: Registry[Effect] = Registry("task")
PART_EFFECTS: Registry[Effect] = Registry("kind of part")


def call_arguments(context: Context) -> dict[str, Any]:
    """Everything that the pipeline is called with, but for the generators: the family's part, the task's, the parts'."""
    arguments = context.loaded.call(context.request).arguments(context.request, context.pipeline, len(context.images))
    for effect, value in _effects(context.request):
        arguments |= effect.arguments(value, context)
    return arguments


def observers_of(context: Context) -> tuple[Observer, ...]:
    """Who watches the call for the task and the parts."""
    return tuple(each for effect, value in _effects(context.request) for each in effect.observers(value, context))


def finished(context: Context, picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture as task and parts leave it."""
    for effect, value in _effects(context.request):
        picture = effect.finished(value, context, picture)
    return picture


@contextmanager
def applied(context: Context) -> Iterator[None]:
    """What the task and the parts change of the pipeline, for the length of a call."""
    with ExitStack() as stack:
        for effect, value in _effects(context.request):
            stack.enter_context(effect.around(value, context))
        yield


def _effects(request: GenerationRequest) -> Iterator[tuple[Effect, Any]]:
    yield TASK_EFFECTS.get(request.task.kind, field="task"), request.task
    kinds: dict[str, list[PartBase]] = {}
    for part in request.parts:
        kinds.setdefault(part.kind, []).append(part)
    for kind, parts in kinds.items():
        yield PART_EFFECTS.get(kind, field="parts"), tuple(parts)
