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
Item = Event | View | StudioError | None  # None: a beat


async def event_stream(studio: Studio, job: str, after: int) -> AsyncIterator[str]:
    """A job's events alone. `id` is the number to go on from after a lost connection."""
    async with aclosing(_heard({"follow-job": lambda: studio.follow(job, after)})) as items:
        async for line in _written(items, after):
            yield line


async def page_stream(studio: Studio, job: str | None, after: int) -> AsyncIterator[str]:
    """All that a page is told, over one connection: memory and queue now and whenever they change, and a job's events.

    One, because a browser keeps no more than six to a studio, for all its tabs together.
    """
    listeners: dict[str, Callable[[], Iterator[Item]]] = {
        "watch-memory": lambda: _changes(studio.watch_memory),
        "watch-queue": lambda: _changes(studio.watch_queue),
    }
    if job is not None:
        listeners["follow-job"] = lambda: studio.follow(job, after)
    async with aclosing(_heard(listeners)) as items:
        async for line in _written(items, after):
            yield line


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


async def _written(items: AsyncIterator[Item], number: int) -> AsyncIterator[str]:
    """Each item as `event` and `data` lines; a job's events are numbered from `number` + 1 on."""
    async for item in items:
        match item:
            case None:
                yield BEAT
            case StudioError():
                yield f"event: error\ndata: {json.dumps({'error': str(item)})}\n\n"
            case MemoryView():
                yield f"event: memory\ndata: {item.model_dump_json()}\n\n"
            case QueueView():
                yield f"event: queue\ndata: {item.model_dump_json()}\n\n"
            case _:
                number += 1
                yield f"id: {number}\nevent: {item.kind}\ndata: {to_json(item)}\n\n"


def _changes(watch: Callable[[int, float], tuple[int, View]]) -> Iterator[View | None]:
    """A view whenever it changed; None now and then, so that a listener who left is noticed."""
    seen = 0
    while True:
        number, view = watch(seen, BEAT_SECONDS)
        yield view if number != seen else None
        seen = number


async def _heard(listeners: Mapping[str, Callable[[], Iterator[Item]]]) -> AsyncGenerator[Item, None]:
    """What each listener yields in a thread of its own, as it comes, and a StudioError that one raised; until all have ended."""
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
        except StudioError as error:
            put(error)
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
