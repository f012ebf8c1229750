"""A job's events, and the memory's, as server-sent events: with a beat while nothing happens.

The desk waits in a thread of its own for each listener, so that many listeners to a long queue never use up the threads that
answer the other routes.
"""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing

from studio.core.desk import Desk, MemoryView
from studio.core.errors import StudioError
from studio.core.events import Event, to_json

BEAT_SECONDS = 15.0
BEAT = ": still here\n\n"

Item = Event | MemoryView | StudioError | None  # None: a beat


async def event_stream(desk: Desk, job: str, after: int) -> AsyncIterator[str]:
    """Yields each event as `id`, `event` and `data` lines. `id` is the number to go on from after a lost connection."""
    number = after
    async with aclosing(_heard(lambda: desk.follow(job, after), f"follow-{job}")) as items:
        async for item in items:
            if item is None or isinstance(item, MemoryView):
                yield BEAT
            elif isinstance(item, StudioError):
                yield f"event: error\ndata: {json.dumps({'error': str(item)})}\n\n"
            else:
                number += 1
                yield f"id: {number}\nevent: {item.kind}\ndata: {to_json(item)}\n\n"


async def memory_stream(desk: Desk) -> AsyncIterator[str]:
    """Yields the memory's view at once, and again whenever it changed; who lost the connection begins anew."""
    async with aclosing(_heard(lambda: _changes(desk), "follow-memory")) as items:
        async for item in items:
            yield f"event: memory\ndata: {item.model_dump_json()}\n\n" if isinstance(item, MemoryView) else BEAT


def _changes(desk: Desk) -> Iterator[MemoryView | None]:
    """The memory's view whenever it changed; None now and then, so that a listener who left is noticed."""
    seen = 0
    while True:
        number, view = desk.watch_memory(seen, BEAT_SECONDS)
        yield view if number != seen else None
        seen = number


async def _heard(listen: Callable[[], Iterator[Item]], name: str) -> AsyncGenerator[Item, None]:
    """What `listen` yields in a thread of its own, as it comes; a StudioError last if it raised one."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[Item, bool]] = asyncio.Queue()  # (item, whether it is the end)
    gone = threading.Event()

    def put(item: Item, over: bool = False) -> None:
        try:
            loop.call_soon_threadsafe(arrived.put_nowait, (item, over))
        except RuntimeError:  # the server has stopped
            gone.set()

    def follow() -> None:
        try:
            for item in listen():
                put(item)
                if gone.is_set():
                    return
        except StudioError as error:
            put(error)
        finally:
            put(None, over=True)

    threading.Thread(target=follow, name=name, daemon=True).start()
    try:
        while True:
            try:
                item, over = await asyncio.wait_for(arrived.get(), BEAT_SECONDS)
            except TimeoutError:
                item, over = None, False
            if over:
                return
            yield item
    finally:
        gone.set()
