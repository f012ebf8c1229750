"""A job's events as server-sent events: numbered, resumable, with a beat while nothing happens.

The desk's `follow` waits in a thread of its own for each listener, so that many listeners to a long queue never use up the
threads that answer the other routes.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator

from studio.core.desk import Desk
from studio.core.errors import StudioError
from studio.core.events import Event, to_json

BEAT_SECONDS = 15.0


async def event_stream(desk: Desk, job: str, after: int) -> AsyncIterator[str]:
    """Yields each event as `id`, `event` and `data` lines. `id` is the number to go on from after a lost connection."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Event | StudioError | None] = asyncio.Queue()
    gone = threading.Event()

    def put(item: Event | StudioError | None) -> None:
        try:
            loop.call_soon_threadsafe(arrived.put_nowait, item)
        except RuntimeError:  # the server has stopped
            gone.set()

    def follow() -> None:
        try:
            for event in desk.follow(job, after):
                put(event)
                if gone.is_set():
                    return
        except StudioError as error:
            put(error)
        finally:
            put(None)

    threading.Thread(target=follow, name=f"follow-{job}", daemon=True).start()
    number = after
    try:
        while True:
            try:
                item = await asyncio.wait_for(arrived.get(), BEAT_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if item is None:
                return
            if isinstance(item, StudioError):
                yield f"event: error\ndata: {json.dumps({'error': str(item)})}\n\n"
                return
            number += 1
            yield f"id: {number}\nevent: {item.kind}\ndata: {to_json(item)}\n\n"
    finally:
        gone.set()
