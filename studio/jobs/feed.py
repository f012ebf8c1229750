"""What the worker's host is given of the studio: the next job, and where its events go."""

import logging

from studio.core.errors import StorageError
from studio.core.events import Event
from studio.core.sketch import is_sketch
from studio.jobs.archive import Archive
from studio.jobs.board import MemoryBoard
from studio.jobs.channel import Message
from studio.jobs.frames import FrameStore
from studio.jobs.log import EventLog
from studio.jobs.queue import Claimed, JobQueue

log = logging.getLogger(__name__)

SKETCHES_KEPT = 8  # of Live, since pages may still look at the last ones


class Feed:
    def __init__(self, queue: JobQueue, events: EventLog, frames: FrameStore, archive: Archive, board: MemoryBoard):
        self._queue, self._events, self._frames, self._archive, self._board = queue, events, frames, archive, board

    def heard(self, message: Message) -> None:
        self._board.hear(message)
        if message.get("say") == "ended":  # perhaps in the midst of saving a picture
            self._archive.finish_saving()

    def claim(self) -> Claimed | None:
        return self._queue.claim()

    def record(self, job: str, event: Event) -> None:
        self._events.append(job, event)
        self._queue.progressed()
        if event.terminal:
            try:
                self._frames.settle(job)
                if is_sketch(job):
                    self._frames.forget(self._queue.forget_sketches(keep=SKETCHES_KEPT))
                self._queue.report_places()
            except StorageError as error:
                log.warning("%s", error)
