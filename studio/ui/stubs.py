"""Keeps Gradio from writing a type stub for each component class that it sees, its own sixty and ours, at every start.

That costs a second of start-up and leaves files beside the source. Must be used around the first import of gradio, so it
imports nothing of it.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_stubs() -> Iterator[None]:
    """Inside, a component class has no source file to be found; Gradio then leaves it alone (`create_or_modify_pyi`)."""
    find = inspect.getfile

    def find_others(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith(("gradio.", "studio.ui.")):
            raise OSError("not wanted here")
        return find(thing)

    inspect.getfile = find_others  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = find
