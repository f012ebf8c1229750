"""What a start takes up of the studio that ran in this folder before: pictures half saved, jobs cut short, a lost index."""

import logging
import threading
from collections.abc import Callable

from studio.core.errors import StorageError
from studio.jobs.archive import Archive
from studio.jobs.frames import FrameStore
from studio.jobs.queue import JobQueue

log = logging.getLogger(__name__)


def recover(archive: Archive, frames: FrameStore, queue: JobQueue) -> None:
    """Raises StorageError where the folder cannot be written; may be called again then."""
    archive.finish_saving()
    archive.prune_thumbnails()
    frames.sweep()
    queue.recover(frames.settle)
    frames.forget(queue.forget_sketches(keep=0))
    if not archive.images(limit=1):  # a new folder, or one whose index was lost
        _beside(archive.reindex)
    elif archive.undescribed():  # seconds for thousands, once
        _beside(archive.describe)


def _beside(work: Callable[[], object]) -> None:
    """In a thread that nobody waits for: what the disk refuses is a line in the log."""

    def run() -> None:
        try:
            work()
        except StorageError as error:
            log.warning("%s", error)

    threading.Thread(target=run, name=work.__name__, daemon=True).start()
