"""Reads what a trace's file says of itself, with the checks of any safetensors header, and that its tensors agree with it.

Reads no tensor, imports no torch.
"""

from collections.abc import Callable
from pathlib import Path

from studio.core.errors import InvalidRequest, ModelError
from studio.core.traces import TraceInfo, info_in
from studio.manager.disk.headers import Header, read_header

NAMED = {"F32": ("timestep", "sigma", "scale"), "I32": ("first_call",)}  # one number a step


def read_trace(path: Path) -> tuple[TraceInfo, Header]:
    """Raises InvalidRequest with one sentence for a file that is no trace, damaged, cut short, or of another version."""
    try:
        header = read_header(path)
    except ModelError as error:
        raise InvalidRequest(f"The trace of this picture's run cannot be used. {error}") from None
    info = info_in(header.metadata)
    expected = {name: (dtype, (info.steps,)) for dtype, names in NAMED.items() for name in names}
    expected["call_timestep"] = ("F32", (info.calls,))
    for name, (dtype, shape) in expected.items():
        found = header.tensors.get(name)
        if found is None or (found.dtype, found.shape) != (dtype, shape):
            raise _wrong(name)
    counts = {"raw": sum(info.rows), "x_t": info.steps, "guided": info.calls * info.used_rows}
    for name, count in counts.items():
        found = header.tensors.get(name)
        if found is None and name == "guided" and counts["raw"] == count:
            continue  # equal to `raw`
        if found is None or found.shape[:1] != (count,) or len(found.shape) < 2:
            raise _wrong(name)
    return info, header


def read_trace_of(place: Callable[[str], Path], pixels: str) -> TraceInfo:
    """Of the picture with that hash; `place` finds its file."""
    return read_trace(place(pixels))[0]


def _wrong(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"The trace of this picture's run is damaged: its tensor {name} is missing or of a wrong shape."
    )
