"""Carries out one request: from the leases of its models to archived images and events.

The worker and the command line both use it. It connects the rooms and contains no logic of theirs. Importing it loads
torch, so `compat.prepare()` must be called before.
"""

import importlib
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from studio.core import events
from studio.core.errors import Cancelled, ModelError, StudioError
from studio.core.jobs import kind_of
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.request import GenerationRequest
from studio.core.sketch import is_sketch
from studio.engine.effects import TraceFile, no_traces
from studio.engine.generate import Result, Watch
from studio.engine.observers import Observer
from studio.engine.precision import leases
from studio.engine.previews import Previewer
from studio.engine.recorder import recorder_for
from studio.engine.stages import Run, as_written, generate_all, planned
from studio.engine.trace_recorder import TraceRecorder
from studio.jobs.frames import FrameStore
from studio.jobs.inputs import InputStore
from studio.jobs.saving import Sink
from studio.jobs.storage import PRIVATE
from studio.jobs.traces import TraceStore
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.traces import read_trace_of
from studio.manager.manager import Loaded, Manager
from studio.prompts.prepare import expanded, is_read
from studio.prompts.wildcards import Wildcards

Emit = Callable[[events.Event], None]

# Kind of a job (`core.jobs.kind_of`) -> the module whose `run` carries it out; all others are runs of this one.
RUNNERS = {"race": "studio.racing"}


def execute(
    job: str,
    request: GenerationRequest,  # resolved by core.options
    *,
    manager: Manager,
    catalog: Catalog,
    archive: Sink,
    frames: FrameStore | None,  # None: no previews are kept
    inputs: InputStore,  # the pictures that requests start from
    emit: Emit,
    cancelled: Callable[[], bool] = lambda: False,
    traces: TraceStore | None = None,  # None: none are kept, and none can be branched from
) -> bool:
    """Carry the request out; exactly one terminal event comes last. False if the device is beyond use in this process."""
    began = time.monotonic()
    try:
        runner = importlib.import_module(RUNNERS.get(kind_of(job), __name__)).run
        runner(request, manager, catalog, archive, inputs, traces, ProgressReporter(job, frames, emit, cancelled))
    except Cancelled:
        emit(events.Cancelled())
    except StudioError as error:
        emit(events.Failed(message=str(error), field=error.field))
    except Exception as error:
        traceback.print_exc()
        what = f"The engine stopped on an unexpected error ({type(error).__name__}); the worker's log says more."
        emit(events.Failed(message=what))
        return not _device_is_lost(error)
    else:
        emit(events.Done(seconds=time.monotonic() - began))
    return True


class ProgressReporter:
    """Reports the progress of one job, and knows whether it was cancelled."""

    def __init__(self, job: str, frames: FrameStore | None, emit: Emit, cancelled: Callable[[], bool]):
        self.job, self.frames, self.emit, self.cancelled = job, frames, emit, cancelled
        self.model = ""  # title of the model that is being loaded
        self._reported: events.Loading | None = None

    def loading(self, what: str, fraction: float | None) -> None:
        if self.cancelled():
            raise Cancelled
        news = events.Loading(model=self.model, what=what, fraction=fraction)
        if news != self._reported:  # a wait for an import reports often
            self._reported = news
            self.emit(news)

    def put_frame(self, image: int, step: int, kind: str, jpeg: bytes) -> None:
        if self.frames is not None:
            self.frames.put(self.job, image, step, kind, jpeg)


def run(
    request: GenerationRequest,
    manager: Manager,
    catalog: Catalog,
    archive: Sink,
    inputs: InputStore,
    traces: TraceStore | None,
    reporter: ProgressReporter,
) -> None:
    """Pictures of the request. Raises StudioError."""
    models = catalog.models()
    info = usable(models, request.model, reporter)
    previewer = Previewer(archive.private / "previews") if request.previews and reporter.frames is not None else None
    stages = planned(request, info, models)
    with ExitStack() as stack:
        traced = traces is not None and traces.keeps and len(stages) == 1 and not is_sketch(reporter.job)
        trace = stack.enter_context(_trace_recorder(traces, info)) if traces is not None and traced else None
        recorder_class = recorder_for(manager.device)
        recorder = stack.enter_context(recorder_class(previewer, reporter.emit, reporter.put_frame, request.count))
        made = pictures(
            request,
            info,
            stages,
            manager=manager,
            inputs=inputs,
            reporter=reporter,
            observers=[each for each in (recorder, previewer, trace) if each is not None],
            trace_file=traces.path if traces else no_traces,
            before_lease=recorder.catch_up,  # the last steps are reported before the wait
            leased=previewer.show if previewer is not None else None,
        )
        for result in made:
            recorder.catch_up()
            if not is_sketch(reporter.job):
                reporter.emit(archive.save(result.image, result.recipe, reporter.job))
            if trace is not None:
                trace.finished(result.recipe)


def usable(models: list[ModelInfo], name: str, reporter: ProgressReporter) -> ModelInfo:
    """The model of that name, which is reported as being loaded. Raises ModelError for a file that cannot be used: it may have been
    damaged after the request was queued."""
    info = find_model(models, name)
    if info.problem:
        raise ModelError(f"{info.title} cannot be used: {info.problem}", field="model")
    reporter.model = info.title
    reporter.loading("starting", None)
    return info


def pictures(
    request: GenerationRequest,
    info: ModelInfo,
    stages: list[Run],
    *,
    manager: Manager,
    inputs: InputStore,
    reporter: ProgressReporter,
    observers: Sequence[Observer],
    trace_file: TraceFile = no_traces,
    before_lease: Callable[[], None] | None = None,
    leased: Callable[[Loaded], None] | None = None,
) -> Iterator[Result]:
    """The request's pictures one by one, with the models of its stages leased in turn."""
    settings = manager.settings
    lease = leases(manager, request.dtype, settings.outputs / PRIVATE / "precision", reporter.loading)

    @contextmanager
    def reported(number: int, wanted: ModelInfo, asked: GenerationRequest) -> Iterator[Loaded]:
        if before_lease is not None:
            before_lease()
        reporter.model = wanted.title
        with lease(number, wanted, asked) as loaded:
            if leased is not None:
                leased(loaded)
            yield loaded

    watch = Watch(tuple(observers), reporter.cancelled, inputs.open, trace_file)
    expand = partial(expanded, lines=Wildcards(settings.wildcards)) if is_read(request, info) else as_written
    yield from generate_all(request, stages, reported, watch, expand=expand)


def _trace_recorder(traces: TraceStore, info: ModelInfo) -> TraceRecorder:
    return TraceRecorder(traces.put, partial(read_trace_of, traces.path), info.capabilities.prediction)


def _device_is_lost(error: Exception) -> bool:
    """After such a CUDA error every later call in the process fails as well."""
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
