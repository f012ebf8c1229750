"""The events of jobs, of the memory and of the queue as server-sent events, with a heartbeat; and a job's frames, many in one
answer.

Each source of a stream is waited for in a thread of its own, so that many readers never use up the threads that
answer the other routes. The threads end when the reader has gone.
"""

import asyncio
import json
import struct
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

from studio.core.errors import StudioError
from studio.core.events import Event, to_json
from studio.core.jobs import QueueView
from studio.core.memory import MemoryView
from studio.core.protocol import Studio

BEAT_SECONDS = 15.0
WATCH_SECONDS = 1.0  # after which a watching thread checks whether its reader is still connected
QUEUE_SECONDS = 0.25  # between two views of the queue, which changes with every step of a run
BEAT = ": still here\n\n"
FRAME_HEAD = struct.Struct(">II")  # step, length of the JPEG that follows
PIECE_BYTES = 1 << 16

View = MemoryView | QueueView


@dataclass(frozen=True)
class JobEvent:
    job: str
    number: int
    event: Event


@dataclass(frozen=True)
class JobProblem:
    """Why a job cannot be followed."""

    job: str
    message: str


Item = JobEvent | JobProblem | View | None  # None: a heartbeat


async def event_stream(studio: Studio, job: str, after: int) -> AsyncIterator[str]:
    """A job's events alone. `id` is the number to go on from after a lost connection."""
    async with aclosing(_merged({"follow-job": lambda gone: _numbered(studio, job, after, gone)})) as items:
        async for item in items:
            match item:
                case None:
                    yield BEAT
                case JobProblem(message=message):
                    yield _written("error", json.dumps({"error": message}))
                case JobEvent(number=number, event=event):
                    yield f"id: {number}\n{_written(event.kind, to_json(event))}"


async def page_stream(studio: Studio, jobs: Mapping[str, int]) -> AsyncIterator[str]:
    """Everything that a page follows, over one connection: memory and queue now and whenever they change, and the events
    of these jobs, each after the number given.

    One connection, because a browser keeps no more than six to a server, for all its tabs together. `id` says how far each
    job has been read: `{job}:{number}`, separated by commas.
    """
    sources: dict[str, Source] = {
        "watch-memory": lambda gone: _changes(studio.watch_memory, gone),
        "watch-queue": lambda gone: _changes(studio.watch_queue, gone, QUEUE_SECONDS),
    }
    for job, after in jobs.items():
        sources[f"follow-{job}"] = lambda gone, job=job, after=after: _numbered(studio, job, after, gone)  # type: ignore[misc]
    read = dict(jobs)
    async with aclosing(_merged(sources)) as items:
        async for item in items:
            match item:
                case None:
                    yield BEAT
                case MemoryView():
                    yield _written("memory", item.model_dump_json())
                case QueueView():
                    yield _written("queue", item.model_dump_json())
                case JobProblem():
                    yield _written("problem", json.dumps(asdict(item)))
                case JobEvent(job=job, number=number, event=event):
                    read[job] = number
                    position = ",".join(f"{name}:{count}" for name, count in read.items())
                    data = f'{{"job":"{job}","number":{number},"event":{to_json(event)}}}'
                    yield f"id: {position}\n{_written('job', data)}"


def joined(frames: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """The frames with their headers, joined to pieces of PIECE_BYTES: sending each by itself would cost more."""
    piece = bytearray()
    for step, jpeg in frames:
        piece += FRAME_HEAD.pack(step, len(jpeg)) + jpeg
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _written(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


class _Gone:
    """Whether a stream's reader has disconnected. `leave` calls what `ends` was given. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = False
        self._ends: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return self._left

    def ends(self, close: Callable[[], None]) -> None:
        with self._lock:
            self._ends.append(close)
            left = self._left
        if left:
            close()

    def leave(self) -> None:
        with self._lock:
            self._left = True
        for close in self._ends:
            close()


Source = Callable[[_Gone], Iterator[Item]]


def _numbered(studio: Studio, job: str, after: int, gone: _Gone) -> Iterator[JobEvent | JobProblem]:
    try:
        following = studio.follow(job, after)
        gone.ends(following.close)
        for number, event in enumerate(following, after + 1):
            yield JobEvent(job, number, event)
    except StudioError as error:
        yield JobProblem(job, str(error))


def _changes(watch: Callable[[int, float], tuple[int, View]], gone: _Gone, pause: float = 0.0) -> Iterator[View]:
    """A view now and whenever it has changed, with at least `pause` seconds between two."""
    seen = 0
    while not gone:
        number, view = watch(seen, WATCH_SECONDS)
        if number != seen:
            yield view
        seen = number
        time.sleep(pause)


async def _merged(sources: Mapping[str, Source]) -> AsyncGenerator[Item, None]:
    """The items of all sources, each read in a thread of its own, as they come, until all have ended."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[Item, bool]] = asyncio.Queue()  # (item, whether it is a source's end)
    gone = _Gone()

    def put(item: Item, over: bool = False) -> None:
        try:
            loop.call_soon_threadsafe(arrived.put_nowait, (item, over))
        except RuntimeError:  # the server has stopped
            gone.leave()

    def read(source: Source) -> None:
        try:
            for item in source(gone):
                put(item)
                if gone:
                    return
        finally:
            put(None, over=True)

    for name, source in sources.items():
        threading.Thread(target=read, args=(source,), name=name, daemon=True).start()
    left = len(sources)
    try:
        while left:
            try:
                item, over = await asyncio.wait_for(arrived.get(), BEAT_SECONDS)
            except TimeoutError:
                item, over = None, False
            left -= over
            if not over:
                yield item
    finally:
        gone.leave()
