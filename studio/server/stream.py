"""What happens to a job, to the memory and to the queue, as server-sent events, with a beat while nothing does; and a job's
frames, many in one answer.

The studio waits in a thread of its own for each listener, so that many listeners to a long queue never use up the threads that
answer the other routes.
"""

import asyncio
import json
import struct
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

from studio.core.errors import StudioError
from studio.core.events import Event, to_json
from studio.core.jobs import QueueView
from studio.core.memory import MemoryView
from studio.core.protocol import Studio

BEAT_SECONDS = 15.0
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


Item = JobEvent | JobProblem | View | None  # None: a beat


async def event_stream(studio: Studio, job: str, after: int) -> AsyncIterator[str]:
    """A job's events alone. `id` is the number to go on from after a lost connection."""
    async with aclosing(_merged({"follow-job": lambda: _numbered(studio, job, after)})) as items:
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
    listeners: dict[str, Callable[[], Iterator[Item]]] = {
        "watch-memory": lambda: _changes(studio.watch_memory),
        "watch-queue": lambda: _changes(studio.watch_queue),
    }
    for job, after in jobs.items():
        listeners[f"follow-{job}"] = lambda job=job, after=after: _numbered(studio, job, after)  # type: ignore[misc]
    read = dict(jobs)
    async with aclosing(_merged(listeners)) as items:
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
    """The frames with their heads, several in one piece: hundreds of small ones would each cost what a large one does."""
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


def _numbered(studio: Studio, job: str, after: int) -> Iterator[JobEvent | JobProblem]:
    try:
        for number, event in enumerate(studio.follow(job, after), after + 1):
            yield JobEvent(job, number, event)
    except StudioError as error:
        yield JobProblem(job, str(error))


def _changes(watch: Callable[[int, float], tuple[int, View]]) -> Iterator[View | None]:
    """A view whenever it changed; None now and then, so that a listener who left is noticed."""
    seen = 0
    while True:
        number, view = watch(seen, BEAT_SECONDS)
        yield view if number != seen else None
        seen = number


async def _merged(listeners: Mapping[str, Callable[[], Iterator[Item]]]) -> AsyncGenerator[Item, None]:
    """What each listener yields in a thread of its own, as it comes, until all have ended."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[Item, bool]] = asyncio.Queue()  # (item, whether it is a listener's end)
    gone = threading.Event()

    def put(item: Item, over: bool = False) -> None:
        try:
            loop.call_soon_threadsafe(arrived.put_nowait, (item, over))
        except RuntimeError:  # the server has stopped
            gone.set()

    def follow(listen: Callable[[], Iterator[Item]]) -> None:
        try:
            for item in listen():
                put(item)
                if gone.is_set():
                    return
        finally:
            put(None, over=True)

    for name, listen in listeners.items():
        threading.Thread(target=follow, args=(listen,), name=name, daemon=True).start()
    left = len(listeners)
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
        gone.set()
