"""The worker's process for tests of imports: the real one, with SD 1 as small as the test's."""

import os
from pathlib import Path

from studio.jobs.channel import Channel
from studio.manager.conversion import imports
from studio.manager.disk import attachments
from tests.manager import small_child


def main(channel: Channel) -> None:
    small_child.shrink(Path(os.environ[small_child.SOURCE]))
    attachments.CONTEXT_FAMILY[32] = "sd1"
    imports.CHILD = small_child.__name__
    from studio.worker import main as work

    work(channel)
