"""Replays a picture with what it needs from the outputs folder: the pictures that it starts from, and the trace of the picture
that it branched from, which is made again where it is no longer kept."""

from functools import partial

from PIL.Image import Image

from studio.core.errors import InvalidRequest
from studio.core.parts import Branch
from studio.core.recipe import Recipe
from studio.core.settings import Settings
from studio.core.traces import NoTrace
from studio.engine.replay import Replay, replay
from studio.engine.trace_recorder import TraceRecorder
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.inputs import InputStore
from studio.jobs.storage import PRIVATE
from studio.jobs.traces import TraceStore
from studio.manager.disk.traces import read_trace_of
from studio.manager.manager import Manager


class Replaying:
    def __init__(self, settings: Settings):
        outputs = settings.outputs.resolve()
        self._manager = Manager(settings)
        self._inputs = InputStore(outputs / PRIVATE / "inputs")
        self._traces = TraceStore(outputs / PRIVATE / "traces", settings.traces)
        self._index = outputs / PRIVATE / "studio.db"
        self._outputs = outputs

    def replay(self, recipe: Recipe, picture: Image | None = None, recorder: TraceRecorder | None = None) -> Replay:
        """Raises InvalidRequest where a branch's first steps can neither be played back nor made again."""
        for part in recipe.request.parts:
            if isinstance(part, Branch):
                self._restore(part)
        return replay(
            recipe,
            self._manager,
            self._manager.catalog.models(),
            picture=picture,
            read_image=self._inputs.open,
            trace_file=self._traces.path,
            observers=(recorder,) if recorder else (),
        )

    def _restore(self, part: Branch) -> None:
        """Make the parent again where its trace is gone."""
        try:
            self._traces.path(part.image)
        except NoTrace:
            parent = self._parent(part)
            read = partial(read_trace_of, self._traces.path)
            with TraceRecorder(self._traces.put, read, self._prediction(parent)) as recorder:
                made = self.replay(parent, recorder=recorder)
                recorder.finished(made.recipe)
            if not made.identical:
                raise InvalidRequest(
                    f"This picture branched at step {part.step} from one that cannot be made again exactly: {made.verdict}."
                ) from None

    def _parent(self, part: Branch) -> Recipe:
        parent = Archive(self._outputs, Database(self._index)).recipe_of(part.image) if self._index.is_file() else None
        if parent is None:
            raise InvalidRequest(
                f"This picture branched at step {part.step} from one that is not in the outputs folder, and no trace of it is "
                "kept, so its first steps cannot be made again."
            )
        return parent

    def _prediction(self, recipe: Recipe) -> str:
        models = self._manager.catalog.models()
        return next((info.capabilities.prediction for info in models if info.id == recipe.model), "")
