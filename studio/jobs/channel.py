"""Messages between a worker and its host: one JSON object a line, over the worker's standard input and output.

Handles framing only, not what messages mean. A line that a killed worker left half written is ignored.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

Message = dict[str, Any]


class Channel:
    """One end. `send` may be called from any thread; `receive` ends when the other end is gone."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]):
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, message: Message) -> bool:
        """False if the other end is gone."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            with self._lock:
                self._outgoing.write(line)
                self._outgoing.flush()
        except (OSError, ValueError):  # broken pipe; closed file
            return False
        return True

    def receive(self) -> Iterator[Message]:
        try:
            for line in self._incoming:
                if line.endswith(b"\n"):
                    yield json.loads(line)
        except (OSError, ValueError):
            return

    def close(self) -> None:
        for end in (self._outgoing, self._incoming):
            try:
                end.close()
            except OSError:
                pass


def own_standard_streams() -> Channel:
    """The worker's end. Whatever a library prints from now on goes to standard error, not into the channel."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return Channel(incoming, outgoing)
