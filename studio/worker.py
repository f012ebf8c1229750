"""The worker's program: carries out one job after another, and between jobs the commands that concern memory.

Receives commands, sends reports and ends the process. `studio.execution` carries out a request.
"""

import logging
import os
import queue
import threading
import traceback
from collections.abc import Callable
from typing import Any

from studio import compat
from studio.core import events
from studio.core.errors import OutOfMemory, StorageError, StudioError
from studio.core.events import Event
from studio.core.memory import MemoryCommand
from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.parts import PARTS, PartBase
from studio.core.request import DEFAULT, GenerationRequest
from studio.core.settings import Settings
from studio.core.stages import stages_of
from studio.jobs.archive import Archive
from studio.jobs.channel import Channel, Message
from studio.jobs.database import Database
from studio.jobs.frames import FrameStore
from studio.jobs.inputs import InputStore
from studio.jobs.queue import waiting
from studio.jobs.saving import PatientSink
from studio.jobs.storage import PRIVATE
from studio.jobs.traces import TraceStore
from studio.training.sharing import making_pictures

log = logging.getLogger(__name__)

LOOK_AHEAD = 32  # waiting jobs whose models are kept in memory where they can be


def main(channel: Channel) -> None:
    """The entry of the worker process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    inbox = Inbox(channel)
    settings_message = inbox.get()
    if settings_message is None:
        return
    try:
        worker = Worker(channel, inbox, Settings.model_validate(settings_message["settings"]))
    except StudioError as error:
        channel.send({"say": "unable", "problem": str(error)})
        raise SystemExit(3) from error
    worker.work()


class Inbox:
    """Commands in order. Cancels and imports take effect at once; an exit, or the host's death, ends the process at once."""

    def __init__(self, channel: Channel):
        self.imports: Callable[[MemoryCommand], None] = lambda command: None  # the worker's, before it says "ready"
        self._channel = channel
        self._commands: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def get(self) -> Message | None:
        return self._commands.get()

    def is_cancelled(self, job: str) -> bool:
        return job in self._cancelled

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)

    def _listen(self) -> None:
        for message in self._channel.receive():
            match message["do"]:
                case "cancel":
                    self._cancelled.add(message["job"])
                case "exit":
                    break
                case "manage" if message["command"]["action"] in ("import", "cancel_import"):
                    command = MemoryCommand(**message["command"])
                    threading.Thread(target=self.imports, args=(command,), name="import", daemon=True).start()
                case _:
                    self._commands.put(message)
        os._exit(0)  # files appear whole or not at all, so there is nothing to wait for


class Worker:
    """One device's process. Slow imports happen here, before it says that it is ready."""

    def __init__(self, channel: Channel, inbox: Inbox, settings: Settings):
        with compat.loading_libraries():
            from studio.execution import execute  # imports torch and diffusers
            from studio.manager.manager import Manager

        private = settings.outputs / PRIVATE
        database = Database(private / "studio.db")
        self._channel, self._inbox, self._database, self._execute = channel, inbox, database, execute
        self._manager = Manager(settings)
        self._catalog = self._manager.catalog
        self._archive = Archive(settings.outputs, database)
        self._runs = settings.runs.resolve()
        self._frames = FrameStore(private / "frames", database)
        self._inputs = InputStore(private / "inputs")
        self._traces = TraceStore(private / "traces", settings.traces)
        self._manager.imports.changed = self._report_imports
        inbox.imports = self._import

    def work(self) -> None:
        self._manager.sweep()
        self._report_memory()
        self._report_imports()
        self._channel.send({"say": "ready"})
        while (command := self._inbox.get()) is not None:
            if command["do"] == "preload":
                self._preload()
                continue
            if command["do"] == "manage":
                self._manage(MemoryCommand(**command["command"]))
                continue
            fit = self._carry_out(command["job"], GenerationRequest(**command["request"]))
            if not fit:
                log.error("The device does not recover from such an error within a process; ending it.")
                return

    def _carry_out(self, job: str, request: GenerationRequest) -> bool:
        self._look_ahead()

        def emit(event: Event) -> None:
            self._emit(job, event)

        def cancelled() -> bool:
            return self._inbox.is_cancelled(job)

        try:
            with making_pictures(self._runs):
                return self._execute(
                    job,
                    request,
                    manager=self._manager,
                    catalog=self._catalog,
                    archive=PatientSink(self._archive, emit, cancelled),
                    frames=self._frames,
                    inputs=self._inputs,
                    traces=self._traces,
                    emit=emit,
                    cancelled=cancelled,
                )
        finally:
            self._inbox.forget(job)

    def _look_ahead(self) -> None:
        """Report to the manager what the next jobs will lease, so that it evicts other models first."""
        from studio.engine.precision import foreseen
        from studio.manager.manager import Expected

        try:
            requests = waiting(self._database, LOOK_AHEAD)
        except StorageError as error:
            log.warning("%s", error)
            return
        infos = {info.id: info for info in self._catalog.models()} if requests else {}
        expected: dict[tuple[Any, ...], Expected] = {}
        for request in requests:
            if (info := infos.get(request.model)) is None:
                continue
            found = foreseen(request.dtype, info, self._manager, self._archive.private / "precision")
            for stage in stages_of(request, info):
                if (model := infos.get(stage.model)) is not None:
                    parts = stage.request.parts
                    expected[model.id, found.dtype, parts] = Expected(model, found.dtype, found.channels_last, parts)
        self._manager.expect(expected.values())

    def _emit(self, job: str, event: Event) -> None:
        if event.terminal or (isinstance(event, events.Step) and event.index == 0):  # the model is in memory now
            self._report_memory()
        self._channel.send({"say": "event", "job": job, "event": events.to_json(event)})

    def _manage(self, command: MemoryCommand) -> None:
        """Load, unload, pin, or set the budget; what cannot be done changes nothing and is reported."""
        problem: str | None = None
        try:
            self._apply(command)
        except StudioError as error:
            problem = str(error)
        except Exception as error:
            traceback.print_exc()
            problem = f"The engine stopped on an unexpected error ({type(error).__name__}); the worker's log says more."
        self._report_memory()
        self._channel.send({"say": "managed", "problem": problem})

    def _apply(self, command: MemoryCommand) -> None:
        from studio.engine.precision import leased

        def report(what: str, fraction: float | None) -> None:
            self._channel.send({"say": "managing", "what": what, "fraction": fraction})

        info = find_model(self._catalog.models(), command.model) if command.model else None
        if command.action == "budget":
            self._manager.set_budget(command.bytes)
        elif command.action == "unload":
            if info is not None and info.id in self._manager.memory().pinned:
                raise StudioError(f"{info.title} is pinned; unpin it first.")
            self._manager.unload(info)
        elif command.action == "unpin" and info is not None:
            self._manager.pin(info, False)
        elif info is not None:
            kept, parts = self._archive.private / "precision", self._own_parts(info)
            with leased(self._manager, info, "auto", kept, report, parts=parts) as loaded:
                if not loaded.whole:
                    raise OutOfMemory(
                        f"{info.title} does not fit the memory budget whole; when it runs, its parts come one stage at a time."
                    )
                if command.action == "pin":
                    self._manager.pin(info, True)

    def _import(self, command: MemoryCommand) -> None:
        """Convert a single file, or stop that; in a thread of its own, while jobs run."""
        from studio.engine.precision import first_dtype

        try:
            info = find_model(self._catalog.models(), command.model)
            if command.action == "cancel_import":
                self._manager.imports.cancel(info.id)
                return
            dtype = first_dtype(command.dtype, info, self._manager, self._archive.private / "precision")
            self._manager.imports.prepare(self._manager.conversion(info, dtype))
        except StudioError as error:
            self._manager.imports.fail(command.model, command.dtype, str(error))

    def _preload(self) -> None:
        """While no job waits, load the default model before the first request; no file is converted for that."""
        from studio.engine.precision import choose, first_dtype

        try:
            info, kept = find_model(self._catalog.models(), DEFAULT), self._archive.private / "precision"
            if self._manager.at_hand(info, first_dtype("auto", info, self._manager, kept)):
                parts = self._own_parts(info)
                found = choose("auto", info, self._manager, kept, parts=parts)
                if self._manager.at_hand(info, found.dtype):
                    with self._manager.lease(info, found.dtype, parts=parts, channels_last=found.channels_last):
                        pass
        except StudioError as error:
            log.info("Nothing was loaded ahead: %s", error)
        self._report_memory()
        self._catalog.start_hashing()

    def _own_parts(self, info: ModelInfo) -> tuple[PartBase, ...]:
        """The parts that a request of the model has by default: the VAE that the person set for it."""
        request = GenerationRequest(model=info.id)
        return tuple(part for kind in PARTS.values() if (part := kind.implied(request, info)))

    def _report_memory(self) -> None:
        self._channel.send({"say": "memory", "memory": self._manager.memory().model_dump(mode="json")})

    def _report_imports(self) -> None:
        views = [view.model_dump(mode="json") for view in self._manager.imports.views()]
        self._channel.send({"say": "imports", "imports": views, "prepared": self._manager.prepared()})
