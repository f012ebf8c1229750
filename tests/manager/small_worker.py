"""The worker's process for tests of imports: the real one, with families as small as the test's."""

from studio.jobs.channel import Channel
from studio.manager.conversion import imports
from tests.manager import small_child


def main(channel: Channel) -> None:
    small_child.shrink_families()
    imports.CHILD = small_child.__name__
    from studio.worker import main as work

    work(channel)
