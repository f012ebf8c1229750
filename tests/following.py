"""What a studio of the tests gives to who follows a job."""

from collections.abc import Callable, Iterator

from studio.core.events import Event


class Following(Iterator[Event]):
    """`later(number)` gives the events after that number, and waits a moment for one if there is none; None ends it."""

    def __init__(self, later: Callable[[int], list[Event] | None], after: int):
        self._later, self._number, self._closed = later, after, False

    def __next__(self) -> Event:
        while not self._closed and (events := self._later(self._number)) is not None:
            for event in events[:1]:
                self._number += 1
                self._closed = event.terminal
                return event
        raise StopIteration

    def close(self) -> None:
        self._closed = True
